"""How rows of the topology are found, named and told apart, and what they have beside their plain columns."""
