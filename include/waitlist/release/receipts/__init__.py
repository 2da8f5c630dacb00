"""What the receiver says of released posts, and what became of each of them.

``words`` folds the words about a post into its answer, in plain Python. ``rows`` reads a row of text as a word, or says
what is wrong with it. ``files`` and ``inbox`` are the two ways in, ``store`` keeps what came, and ``account`` counts.
"""
