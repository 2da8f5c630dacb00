"""Writes the free texts of the posts: ordinary notes, and planted ones."""

import unicodedata
from typing import Final

import numpy as np
import numpy.typing as npt

from waitlist.simulator import texts
from waitlist.simulator.components import Branch, Components, Control, Name, Text
from waitlist.simulator.people import Pool

Numbers = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]

_CONTROLS: Final = "\x01\x07\x08\x0b\x0c\x1b\x1f\x7f\x85\x9b"
_NAMELESS: Final = (None, "", "   ", "\u00a0 ")
_BLANKS: Final = ((None, None), ("", None), ("  \n", ""), (None, "\t "))
_NO_CLINICIAN, _LINE_BREAKS, _EMPTY_BRANCH = 0.04, 0.06, 0.02
_LIKELY_GROUP: Final = {
    Pool.ADULTS: "läkare",
    Pool.MINORS: "läkare",
    Pool.YOUTH: "ungdom",
    Pool.SMALL_EARLY: "barn",
    Pool.SMALL_LATE: "barn",
    Pool.SPECIAL: "läkare",
}
_LONG, _HUGE = 300, 9_000


class NoteWriter:
    """Writes Orsak, Planerade åtgärder and Användare, and names the branch or not."""

    def __init__(self) -> None:
        self._reasons, self._plans = texts.notes()
        self._clinicians = texts.clinicians()
        self._likely = np.array([texts.GROUPS.index(_LIKELY_GROUP[pool]) for pool in Pool])

    def write(
        self, random: np.random.Generator, parts: Components, group: Numbers
    ) -> tuple[Texts, Texts, Texts, Texts]:
        """Write the texts of a chunk.

        Args:
            random: the random generator.
            parts: components, shape (n,).
            group: index in ``texts.GROUPS`` of the notes that suit each post, -1 where its list is not known.

        Returns:
            reasons, plans, clinicians and branches, each shape (n,).
        """
        count = len(group)
        group = np.where(group >= 0, group, self._likely[parts.pool])
        reason, plan = _picked(random, self._reasons, group), _picked(random, self._plans, group)
        clinician = self._clinicians[random.integers(0, len(self._clinicians), count)]
        clinician[random.random(count) < _NO_CLINICIAN] = None
        branch = np.full(count, None, dtype=object)
        branch[random.random(count) < _EMPTY_BRANCH] = ""
        broken = random.random(count) < _LINE_BREAKS
        draws = random.integers(0, 2**31, count)
        reason[parts.text == Text.PLAN] = None
        plan[parts.is_any("text", Text.REASON, Text.EMOJI)] = None
        planted = (parts.text > Text.PLAN) | (parts.branch != Branch.NONE) | (parts.control != Control.NONE)
        for place in np.flatnonzero(planted | broken).tolist():
            draw = int(draws[place])
            note = _Note(reason[place], plan[place], clinician[place])
            if broken[place]:
                note.break_lines(draw)
            note.shape(Text(int(parts.text[place])), draw)
            if parts.branch[place] != Branch.NONE:
                branch[place] = texts.BRANCHES[draw % len(texts.BRANCHES)]
                note.name_branch(Branch(int(parts.branch[place])), branch[place])
            note.spoil(Control(int(parts.control[place])), draw)
            reason[place], plan[place], clinician[place] = note.reason, note.plan, note.clinician
        return reason, plan, clinician, branch


def written_name(name: str, kind: Name, draw: int) -> str | None:
    """Write a patient's name, or the text in its place."""
    control = _CONTROLS[draw % len(_CONTROLS)]
    if kind is Name.MISSING:
        return _NAMELESS[draw % len(_NAMELESS)]
    if kind is Name.CONTROL_ONLY:
        return f"{control} {control}"
    return f"{name[:3]}{control}{name[3:]}" if kind is Name.WITH_CONTROL else name


class _Note:
    """The texts of one post that is not ordinary."""

    def __init__(self, reason: str | None, plan: str | None, clinician: str | None) -> None:
        self.reason, self.plan, self.clinician = reason, plan, clinician

    def break_lines(self, draw: int) -> None:
        line = ".\r\n" if draw % 2 else ".\n"
        self.reason = self.reason and self.reason.replace(". ", line)
        self.plan = self.plan and f"-\t{self.plan.replace('. ', line)}"

    def shape(self, kind: Text, draw: int) -> None:
        if kind is Text.EMPTY:
            self.reason, self.plan = _BLANKS[draw % len(_BLANKS)]
        elif kind is Text.LONG:
            self.reason = texts.long_text(draw, _LONG + draw % (3 * _LONG))
        elif kind is Text.HUGE:
            self.reason = texts.long_text(draw, _HUGE)
        elif kind is Text.WIDE:
            self.reason = f"Kontroll{' ' * _LONG}\n\nom sex veckor."
        elif kind is Text.EMOJI:
            self.reason = "Mår bra " + "🙂👍🏽" * 30

    def name_branch(self, kind: Branch, branch: str) -> None:
        if kind is Branch.IN_REASON:
            self._add("reason", branch)
        elif kind is Branch.IN_PLAN:
            self._add("plan", branch)
        elif kind is Branch.OTHER_CASE:
            self._add("reason", branch.upper())
        elif kind is Branch.DECOMPOSED:
            self._add("plan", unicodedata.normalize("NFD", branch))
        elif kind is Branch.ACROSS_LINES:
            self._add("reason", branch.replace(" ", "\n  "))
        elif kind is Branch.ONLY_CLINICIAN:
            self._add("clinician", branch)
        elif kind is Branch.IN_PART:
            self._add("reason", branch.rsplit(maxsplit=1)[-1])

    def _add(self, field: str, place: str) -> None:
        setattr(self, field, f"{getattr(self, field) or ''} Besök på {place}.".strip())

    def spoil(self, kind: Control, draw: int) -> None:
        if kind is not Control.NONE:
            field = {Control.REASON: "reason", Control.PLAN: "plan", Control.CLINICIAN: "clinician"}[kind]
            text = getattr(self, field) or ""
            middle = len(text) // 2
            setattr(self, field, f"{text[:middle]}{_CONTROLS[draw % len(_CONTROLS)]}{text[middle:]}")


def _picked(random: np.random.Generator, notes: list[Texts], group: Numbers) -> Texts:
    sizes = np.array([len(part) for part in notes])
    starts = np.cumsum(sizes) - sizes
    places = starts[group] + (random.random(len(group)) * sizes[group]).astype(np.int64)
    return np.asarray(np.concatenate(notes)[places])
