"""WebShop behind the `Engine` protocol: a shop with a search, result pages, products with options, and a reward."""
