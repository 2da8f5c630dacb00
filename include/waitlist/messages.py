"""The one catalogue of Swedish texts that unit staff and migration leads read about posts."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from waitlist.rules import RULES, Disposition


@dataclass(frozen=True)
class RuleText:
    """What a rule is called, what to do, and how that reads when the finding names something."""

    label: str
    action: str
    with_detail: str | None = None


DISPOSITION_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Disposition.ALREADY_RELEASED: "Redan överförd",
        Disposition.LEAVE: "Ska inte migreras",
        Disposition.HANDLE_MANUALLY: "Hanteras manuellt",
        Disposition.BOOK_IN_MILLENNIUM: "Bokas direkt i Millennium",
        Disposition.FIX_IN_PMO: "Åtgärda i PMO",
        Disposition.PLAN_UNIT: "Enhet saknar driftstart",
        Disposition.MOVE_TO_SDV_LIST: "Flytta till SDV-väntelista",
        Disposition.MIGRATE: "Migreras",
    }
)

RULE_TEXTS: Final[Mapping[str, RuleText]] = MappingProxyType(
    {
        "NOT_WAITING": RuleText(
            "Ingen patient väntar", "Administrativ post: ingen patient väntar på besök. Den migreras inte."
        ),
        "NOT_WAITING_ON_SDV_LIST": RuleText(
            "Administrativ post på SDV-väntelista",
            "Ta bort posten från SDV-väntelistan: ingen patient väntar på besök.",
        ),
        "ID_MISSING": RuleText(
            "Personnummer saknas", "Fyll i patientens personnummer i PMO, eller hantera posten manuellt."
        ),
        "ID_INVALID": RuleText(
            "Ogiltigt personnummer",
            "Kontrollera och rätta personnumret i PMO, eller hantera posten manuellt.",
        ),
        "ID_COORDINATION_NUMBER": RuleText(
            "Samordningsnummer",
            "Patienter med samordningsnummer kan inte migreras maskinellt. Hantera posten manuellt.",
        ),
        "ID_RESERVE_NUMBER": RuleText(
            "Reservnummer",
            "Patienter med reservnummer kan inte migreras maskinellt. Hantera posten manuellt.",
            "Patienter med reservnummer kan inte migreras maskinellt. Hantera posten manuellt. "
            "Troligt format: {detail}.",
        ),
        "ID_UNSAFE_ON_SDV_LIST": RuleText(
            "Saknar säkert personnummer på SDV-väntelista",
            "Ta bort posten från SDV-väntelistan: patienten har inget giltigt personnummer.",
        ),
        "NAME_MISSING": RuleText("Patientnamn saknas", "Fyll i patientens namn i PMO, eller hantera posten manuellt."),
        "FIRST_VISIT": RuleText("Nybesök", "Nybesök migreras inte. Boka patienten direkt i Millennium."),
        "DATE_MISSING": RuleText(
            "Datum saknas",
            "Fyll i både Boka fr.o.m. och Boka före med giltiga datum.",
            "Fyll i ett giltigt datum i {detail}.",
        ),
        "DATE_INVERTED": RuleText("Datum i fel ordning", "Rätta datumen: Boka fr.o.m. ligger efter Boka före."),
        "DATE_EXPIRED": RuleText(
            "Rött datum", "Boka före har passerat. Uppdatera datumintervallet eller avsluta posten."
        ),
        "WITHIN_CUTOFF": RuleText(
            "Inom fyra veckor efter driftstart",
            "Datumintervallet ligger inte mer än fyra veckor efter driftstart. Boka patienten direkt i Millennium.",
            "Datumintervallet ligger inte i sin helhet efter {detail}. Boka patienten direkt i Millennium.",
        ),
        "NOT_ELIGIBLE_ON_SDV_LIST": RuleText(
            "Bokas direkt men ligger på SDV-väntelista",
            "Ta bort posten från SDV-väntelistan: den bokas direkt i Millennium och skulle annars bokas två gånger.",
        ),
        "STRADDLES_CUTOFF": RuleText(
            "Datumintervallet går över fyraveckorsgränsen",
            "Datumintervallet börjar före gränsen fyra veckor efter driftstart och slutar efter den. "
            "Kontrollera när patienten ska bokas.",
            "Datumintervallet börjar senast {detail} (fyra veckor efter driftstart) och slutar därefter. "
            "Kontrollera när patienten ska bokas.",
        ),
        "UNIT_UNPLANNED": RuleText(
            "Enheten saknar driftstart",
            "Enheten saknar driftstart i planen. Migreringsledningen lägger in den.",
        ),
        "UNIT_ALREADY_LIVE": RuleText(
            "Enheten är redan i drift",
            "Enheten är redan i drift i Millennium. Boka patienten där.",
            "Enheten är i drift i Millennium sedan {detail}. Boka patienten där.",
        ),
        "CATEGORY_UNKNOWN": RuleText(
            "Okänd kategori",
            "Välj en SDV-väntelista: kategorin finns varken i SDV-katalogen eller i mappningen.",
            "Välj en SDV-väntelista: kategorin finns varken i SDV-katalogen eller i mappningen. Närmast är {detail}.",
        ),
        "CATEGORY_NOT_MOVED": RuleText(
            "Inte flyttad till SDV-väntelista",
            "Flytta posten till en SDV-väntelista.",
            "Flytta posten till {detail}.",
        ),
        "LIST_OUTSIDE_CARE_AREA": RuleText(
            "Listan hör inte till enhetens vårdområde",
            "Välj en SDV-väntelista inom enhetens vårdområde.",
            "Välj en SDV-väntelista inom enhetens vårdområde: listan hör till {detail}.",
        ),
        "CONTACT_FORM_MISMATCH": RuleText(
            "Kontaktformen stämmer inte med listan",
            "Kontrollera kontaktform och SDV-väntelista: de säger olika.",
            "Kontrollera kontaktform och SDV-väntelista: listan gäller {detail}.",
        ),
        "BRANCH_NOT_IN_TEXT": RuleText(
            "Filialen nämns inte i texten",
            "Skriv platsen för besöket i Orsak eller Planerade åtgärder: besöket sker på filial.",
        ),
        "ATTACHMENT_NOT_MIGRATED": RuleText(
            "Bilaga följer inte med",
            "Bilagan migreras inte. Kontrollera att viktig information står i Orsak eller Planerade åtgärder.",
        ),
        "ATTACHMENT_WITHOUT_TEXT": RuleText(
            "Bilaga utan text",
            "Skriv det viktiga ur bilagan i Orsak eller Planerade åtgärder: bilagan migreras inte, och båda är tomma.",
        ),
        "AGE_MISMATCH": RuleText(
            "Åldern stämmer inte med listan",
            "Kontrollera SDV-väntelista och datum: patientens ålder passar inte listan under datumintervallet.",
        ),
        "DUPLICATE_POST": RuleText(
            "Möjlig dubblett",
            "Samma patient har flera poster på enheten för samma lista med överlappande datum. Avsluta dubbletten.",
        ),
        "CONTACT_FORM_UNKNOWN": RuleText(
            "Okänd kontaktform", "Ange kontaktform: besök, telefon, video eller hembesök."
        ),
        "DESCRIPTION_OVER_LIMIT": RuleText(
            "Lång beskrivning",
            "Texterna är längre än mottagande fält. Korta ned dem så att det viktiga får plats.",
            "Texterna blir {detail} tecken, längre än mottagande fält. Korta ned dem så att det viktiga får plats.",
        ),
        "TEXT_CLEANED": RuleText(
            "Otillåtna tecken borttagna", "Osynliga styrtecken togs bort ur texten. Ingen åtgärd behövs."
        ),
        "ALREADY_RELEASED": RuleText("Redan överförd", "Posten är redan överförd till Millennium. Ändringar görs där."),
        "PROTECTED_IDENTITY": RuleText(
            "Sekretessmarkering", "Patienten har sekretessmarkering. Märkningen följer med till Millennium."
        ),
    }
)


def rule_label(code: str) -> str:
    """Return the short Swedish name of a rule."""
    return RULE_TEXTS[code].label


def finding_text(code: str, detail: str | None) -> str:
    """Return what staff are to do about a finding, with the chapter of the instruction that says so."""
    text = RULE_TEXTS[code]
    said = text.with_detail.format(detail=detail) if text.with_detail and detail else text.action
    chapter = RULES[code].chapter
    return f"{said} (Instruktionen, kapitel {chapter})" if chapter else said
