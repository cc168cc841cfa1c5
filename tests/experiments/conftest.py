from drawn_squares import data, squares

__all__ = ["data", "squares"]
