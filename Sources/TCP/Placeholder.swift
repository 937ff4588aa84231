// placeholder, replaced by the floor's first file
