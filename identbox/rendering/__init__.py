"""Images by Blender, which runs as a process of its own."""
