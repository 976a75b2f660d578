"""Getting and keeping tokens."""
