"""What applications are made of: flows as values, the pipeline, the compiler, the view of a host."""
