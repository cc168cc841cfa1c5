from made_explorer import desk, squares

__all__ = ["desk", "squares"]
