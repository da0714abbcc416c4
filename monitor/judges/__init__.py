"""Who judges an answer beside the program's own rules: classifiers from folders, and models that are asked."""
