"""Dataset folders: formats, pixels, exports, checks."""
