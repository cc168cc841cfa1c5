from made_records import table

__all__ = ["table"]
