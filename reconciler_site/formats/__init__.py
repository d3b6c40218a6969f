"""How dates read on the pages of the admin."""
