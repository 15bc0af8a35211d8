"""A whole database read once and changed once, without the rows of the IDL: for commands that then end."""
