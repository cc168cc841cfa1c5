"""How well encodings predict the causes."""
