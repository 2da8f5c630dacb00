"""What an error says, wherever it is written."""


def texts_of(error: BaseException) -> str:
    """All that a log could write of an error, and of those that it came from."""
    texts, left = [], [error]
    while left:
        one = left.pop()
        texts += [str(one), repr(one), *getattr(one, "__notes__", ())]
        left += [other for other in (one.__cause__, one.__context__) if other is not None]
    return "\n".join(texts)
