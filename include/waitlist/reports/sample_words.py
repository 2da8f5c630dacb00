"""Says in Swedish what the side-by-side sample has shown."""

from waitlist.release.sample.bounds import share_up
from waitlist.release.sample.state import State
from waitlist.swedish.formats import number


def bound_sentence(bound: int, posts: int) -> str:
    """Return the bound in words: högst 19 av 1 000 fel (1,9 %), med 95 % säkerhet.

    Args:
        bound: the largest number of faulty posts that is not excluded.
        posts: posts in the batch.
    """
    share = f"{float(share_up(bound, posts)):.1f}".replace(".", ",")
    return f"högst {number(bound)} av {number(posts)} fel ({share} %), med 95 % säkerhet"


def state_sentence(state: State) -> str:
    """Return in words how far a sample has come, and whether it passes.

    Args:
        state: as it is now.
    """
    posts = state.random.posts + state.aimed.posts
    left = state.random.left + state.aimed.left
    told = [f"{number(posts - left)} av {number(posts)} poster är jämförda."]
    if state.random.wrong:
        told.append(f"Fel i slumpdelen: {number(state.random.wrong)}.")
    if state.aimed.wrong:
        told.append(f"Öppna fel i den riktade delen: {number(state.aimed.wrong)}.")
    if state.bound is not None:
        told.append(f"Slumpdelen visar: {bound_sentence(state.bound, state.posts)}.")
        if state.bound >= state.too_many:
            told.append(f"Det får vara högst {number(state.too_many - 1)}.")
    told.append("Stickprovet är godkänt." if state.passes else "Stickprovet är inte godkänt.")
    return " ".join(told)
