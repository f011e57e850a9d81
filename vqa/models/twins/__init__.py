"""Stand-ins of the catalog's models: their architecture and layout with seeded random weights."""
