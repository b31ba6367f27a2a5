"""What is asked of a model: the question, its context, the form of its answer, and what must not be told."""
