from children import job

__all__ = ["job"]
