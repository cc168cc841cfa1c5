from fuzzing import counts_printed, scratch

__all__ = ["counts_printed", "scratch"]
