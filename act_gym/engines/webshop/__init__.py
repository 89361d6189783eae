"""WebShop engine: a shop with search, result pages, products with options, and a reward."""
