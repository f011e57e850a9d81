"""Models on disk and on the hubs: the catalog, downloads, own folders, the sensitivity probe."""
