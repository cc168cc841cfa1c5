"""A page in the browser on a dataset, its process, and runs (`identbox explore`). Needs the extra `explore`."""
