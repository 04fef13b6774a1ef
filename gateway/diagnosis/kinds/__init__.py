"""The kinds of rule, one file each, which opens with what the kind claims, what it assumes and where its method is from."""
