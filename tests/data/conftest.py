from drawn_folder import folder

__all__ = ["folder"]
