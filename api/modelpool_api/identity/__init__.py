"""Who asks: from a request's signals to a subject and its lane."""
