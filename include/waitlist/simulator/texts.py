"""Names and short clinical notes in Swedish, all invented.

Every ordinary note is short enough that a post's description fits the receiving field, and no ordinary note names
a branch. Longer notes, and notes that name a branch, are planted.
"""

from collections.abc import Mapping
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

Texts = npt.NDArray[np.object_]

NOTE_LENGTH: Final = 72
"""Code points of the longest ordinary note; two notes, a clinician and a branch have fewer than 255 together."""
CLINICIAN_LENGTH: Final = 30


def _listed(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(","))


WOMEN: Final = _listed(
    """
    Agneta, Alva, Amina, Anna, Annika, Astrid, Birgitta, Camilla, Cecilia, Ebba, Ellen, Elsa, Emelie, Eva,
    Fatima, Gunilla, Hanna, Helena, Ida, Ingrid, Jasmin, Johanna, Karin, Katarina, Kristina, Lena, Leïla,
    Linnéa, Maja, Malin, Margareta, Maria, Märta, Nadia, Olivia, Petra, Renée, Sara, Signe, Sofia, Stina,
    Susanne, Tuva, Ulla-Britt, Vera, Viktoria, Wilma, Åsa
    """
)
MEN: Final = _listed(
    """
    Adam, Ahmed, Albin, Anders, André, Axel, Bengt-Åke, Björn, Carl-Johan, Christer, Daniel, David, Elias,
    Emil, Erik, Filip, Fredrik, Göran, Gustav, Hans, Henrik, Håkan, Hugo, Isak, Jakob, Jan, Johan, Jörgen,
    Karl, Kjell, Lars, Leif, Liam, Lucas, Magnus, Mattias, Mikael, Mohammed, Nils, Noah, Olle, Oskar, Per,
    Rasmus, Sixten, Sven, Thomas, Zoltán, Åke, Örjan
    """
)
FAMILIES: Final = _listed(
    """
    Abrahamsson, Al-Hassan, Andersson, Arvidsson, Bengtsson, Berg, Bergström, Björk, Blomqvist, Dahl, Ek,
    Eklund, Eriksson, Forsberg, Fransson, Gunnarsson, Gustafsson, Hansson, Hedlund, Holm, Holmgren,
    Håkansson, Isaksson, Jakobsson, Jansson, Johansson, Jönsson, Karlsson, Kovačević, Larsson, Lind,
    Lindgren, Lindqvist, Lundgren, Löfgren, Malmström, Mårtensson, Mattsson, Nilsson, Norén, Nowak, Nyström,
    Olofsson, Olsson, Persson, Pettersson, Rehn, Sandström, Sjöberg, Strandberg, Svensson, Söderlund, Tran,
    Wallin, Wikström, Yılmaz, Åberg, Åkesson, Öberg, Östlund, Lindgren Ek, von Berg, Müller, D'Angelo
    """
)
BRANCHES: Final = (
    "Filialen Hamngatan", "Filialen Bäckaskog", "Byamottagningen Åsby",
    "Filial Norra Torget", "Mottagningen Ängen", "Filialen Östra Förstaden",
)  # fmt: skip
FILES: Final = (
    "remissvar.pdf",
    "ekg.pdf",
    "foto.jpg",
    "intyg.docx",
    "epikris.pdf",
    "mätvärden.xlsx",
    "scan_001.tif",
)

_TAILS: Final = (
    "",
    "",
    "",
    " Enl PM.",
    " Mår bra i övrigt.",
    " Önskar fm.",
    " Tolk arabiska.",
    " Anhörig med.",
)
_PLAN_TAILS: Final = (
    "",
    "",
    "",
    " Ring vid frågor.",
    " Kallas per brev.",
    " Dubbeltid.",
    " Samma vårdgivare.",
)

_NOTES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "diabetes": (
        (
            "Årskontroll DM typ 2.",
            "Uppföljning HbA1c, senast 58.",
            "Insulinstart i våras, kontroll.",
            "Fotstatus och ögonbottenfoto.",
            "Sensorbyte, genomgång av kurvor.",
        ),
        (
            "Labb före besöket: HbA1c, krea, lipider.",
            "Fotkontroll, BT, vikt.",
            "Genomgång av egenmätningar.",
            "Ta med blodsockermätare.",
        ),
    ),
    "blodtryck": (
        (
            "Kontroll hypertoni.",
            "BT 162/94 vid senaste besök.",
            "Uppföljning efter dosökning.",
            "Hemblodtryck en vecka, återkoppling.",
        ),
        (
            "BT liggande och stående.",
            "EKG och labb en vecka före.",
            "BT-kontroll, ställningstagande till dos.",
        ),
    ),
    "lungor": (
        (
            "Astmakontroll, önskar ny inhalator.",
            "KOL st II, årlig uppföljning.",
            "Spirometri efter insatt behandling.",
            "Rökstopp sedan mars, uppföljning.",
        ),
        ("Spirometri med reversibilitet.", "Inhalationsteknik, ACT-formulär.", "CAT, vikt, saturation."),
    ),
    "hjärta": (
        (
            "Hjärtsvikt, upptitrering.",
            "Vikt upp 2 kg, bensvullnad.",
            "Uppföljning efter vårdtillfälle.",
            "Förmaksflimmer, kontroll av antikoagulantia.",
        ),
        (
            "NT-proBNP, krea, K före besöket.",
            "Vikt, BT, puls. Titrera enl schema.",
            "Blodstatus och krea före besöket.",
        ),
    ),
    "läkare": (
        (
            "Uppföljning av provsvar.",
            "Kontroll efter sjukskrivning.",
            "Ledvärk, ny bedömning.",
            "Trött sedan i våras, uppföljning.",
            "Yrsel – bättre, ny kontroll.",
            "Hudförändring höger underarm, kontroll.",
            "Magbesvär, åter efter behandlingsförsök.",
        ),
        (
            "Åter om tre månader.",
            "Nya prover före besöket.",
            "Ställningstagande till remiss.",
            "Status och BT.",
            "Intyg förnyas vid behov.",
        ),
    ),
    "telefon": (
        (
            "Ring patienten om provsvar.",
            "Uppföljning per telefon.",
            "Avstämning av ny medicin.",
            "Svarar helst efter kl 14.",
        ),
        ("Telefonkontakt, ca 15 min.", "Återkoppla svar och plan.", "Ring hemnumret i första hand."),
    ),
    "hembesök": (
        ("Hembesök, svårt att ta sig till oss.", "Bedömning i hemmet.", "Uppföljning av hjälpmedel hemma."),
        ("Nyckel hos hemtjänsten.", "Samordnas med kommunens ssk.", "Portkod finns hos anhörig."),
    ),
    "sköterska": (
        (
            "Sårkontroll vänster underben.",
            "Öronspolning, kontroll.",
            "Injektion var tredje månad.",
            "Uppföljning blodtryck och vikt.",
            "Kateterbyte.",
        ),
        ("Omläggning enl ordination.", "Kompression, mät omkrets.", "Kontroll om sex veckor."),
    ),
    "vaccination": (
        ("Dos 2 TBE.", "Pneumokockvaccin.", "Influensavaccin inför säsongen.", "Hepatit B, tredje dosen."),
        ("Vaccination enl program.", "Hälsodeklaration vid besöket.", "Obs ägg – kontrollera i journalen."),
    ),
    "minne": (
        ("Minnesutredning, återkoppling.", "MMSE 24/30 i våras.", "Uppföljning efter insatt behandling."),
        ("MMSE och klocktest.", "Anhörigintervju samtidigt.", "Återbesök med sköterska."),
    ),
    "prover": (
        ("Blodprov enl ordination.", "Krea och elstatus.", "Kontroll TSH.", "B12 och folat."),
        ("Fastande.", "Venprov, ev kapillärt.", "Emlaplåster en timme före."),
    ),
    "rörelse": (
        (
            "Artros höger knä.",
            "Axelbesvär, träning pågår.",
            "Ländryggssmärta, uppföljning.",
            "Handledsfraktur, rehab.",
            "Ortos utprovas.",
        ),
        (
            "Träningsprogram, progression.",
            "Funktionsbedömning.",
            "Grupp om sex tillfällen.",
            "Utvärdera hjälpmedel.",
        ),
    ),
    "kost": (
        (
            "Viktuppföljning.",
            "Kostråd vid glutenintolerans.",
            "Undernäring, uppföljning.",
            "Efter gastric bypass, 2 år.",
        ),
        ("Matdagbok tre dagar.", "Vitaminer och vikt.", "Gå igenom näringsdrycker."),
    ),
    "samtal": (
        (
            "Samtalsstöd, uppföljning.",
            "Sömnbesvär, KBT-i pågår.",
            "Ångest, samtal 4 av 6.",
            "Stressreaktion, återbesök.",
        ),
        ("PHQ-9 och GAD-7 i väntrummet.", "Fortsatt behandling, utvärdera.", "Veckovis tills vidare."),
    ),
    "läkemedel": (
        ("Läkemedelsgenomgång, 9 preparat.", "Dosett, oklart intag.", "Utsättning påbörjad."),
        ("Symtomskattning före besöket.", "Apotekare deltar.", "Uppdatera läkemedelslistan."),
    ),
    "barn": (
        (
            "Hälsobesök enl basprogram.",
            "Tillväxtkontroll.",
            "Vaccination enl program.",
            "Språkuppföljning.",
            "Extra vägning, båda föräldrarna med.",
            "Syn- och hörselprövning.",
        ),
        (
            "Vikt, längd, huvudomfång.",
            "Vaccin och föräldrasamtal.",
            "Utvecklingsbedömning.",
            "Formulär till föräldrarna.",
        ),
    ),
    "ungdom": (
        (
            "P-medel, uppföljning.",
            "Samtal, fortsättning.",
            "Provtagning, återkoppling.",
            "Uppföljning efter råd.",
        ),
        ("Kom gärna själv.", "Samma barnmorska.", "Inga brev hem."),
    ),
}
_GROUP_BY_WORD: Final = (
    ("Bhv", "barn"),
    ("Um ", "ungdom"),
    ("Telefon", "telefon"),
    ("Video", "telefon"),
    ("Hembesök", "hembesök"),
    ("diabetes", "diabetes"),
    ("hypertoni", "blodtryck"),
    ("astma", "lungor"),
    ("hjärtsvikt", "hjärta"),
    ("NOAK", "hjärta"),
    ("gastric", "kost"),
    ("Die", "kost"),
    ("minne", "minne"),
    ("vaccination", "vaccination"),
    ("Provtagning", "prover"),
    ("Fys", "rörelse"),
    ("Arb", "rörelse"),
    ("Kur", "samtal"),
    ("Psyk", "samtal"),
    ("beroende", "samtal"),
    ("läkemedel", "läkemedel"),
    ("Ssk", "sköterska"),
    ("Usk", "sköterska"),
)
_PROFESSIONS: Final = ("läk", "ssk", "dsk", "usk", "bm", "kur", "psyk", "fys", "arb", "diet", "ST-läk")
GROUPS: Final = tuple(_NOTES)


def group_of(sdv_list: str) -> int:
    """Return the index in ``GROUPS`` of the notes that suit a list."""
    return GROUPS.index(next((group for word, group in _GROUP_BY_WORD if word in sdv_list), "läkare"))


def notes() -> tuple[list[Texts], list[Texts]]:
    """Return the ordinary texts of Orsak and of Planerade åtgärder, an array for each group."""
    reasons = [_combined(reason, _TAILS) for reason, _ in _NOTES.values()]
    plans = [_combined(plan, _PLAN_TAILS) for _, plan in _NOTES.values()]
    return reasons, plans


def clinicians() -> Texts:
    """Return some hundred users of PMO, each with a profession."""
    users = []
    for place, given in enumerate(WOMEN[::3] + MEN[::3]):
        for part in range(6):
            family = FAMILIES[(7 * place + 3 * part) % len(FAMILIES)]
            users.append(f"{given} {family}, {_PROFESSIONS[(place + part) % len(_PROFESSIONS)]}")
    return np.array(users, dtype=object)


def long_text(draw: int, length: int) -> str:
    """Return a text of at least ``length`` code points whose white space cannot be folded."""
    reason, plan = list(_NOTES.values())[draw % len(_NOTES)]
    sentences = reason + plan
    text = sentences[draw % len(sentences)]
    step = 1 + draw % 3
    while len(text) < length:
        draw += step
        text = f"{text} {sentences[draw % len(sentences)]}"
    return text


def _combined(heads: tuple[str, ...], tails: tuple[str, ...]) -> Texts:
    return np.array([head + tail for head, tail in product(heads, tails)], dtype=object)
