"""The topology database: its schema, rows as objects of the model, and all that writes them."""
