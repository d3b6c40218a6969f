"""The product's pages: read through selectors, act through services, decide nothing."""
