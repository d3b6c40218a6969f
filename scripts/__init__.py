"""Tools for working on the product; the product itself imports nothing from here."""
