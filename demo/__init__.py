"""The demonstration: an organisation's week on real git, played through the product's own doors."""
