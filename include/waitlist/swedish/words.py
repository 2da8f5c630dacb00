"""The catalogue of all Swedish texts about posts that unit staff and migration leads read."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from waitlist.facts.gates import Gate
from waitlist.judge.request_columns import COLUMNS
from waitlist.judge.rules import OF_PERSONS, RULES, Code, Disposition
from waitlist.results import FailureSeverity, Outcome


@dataclass(frozen=True)
class RuleText:
    """A rule's name, the action, and the action's wording when the finding has a detail."""

    label: str
    action: str
    with_detail: str | None = None


DISPOSITION_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Disposition.ALREADY_RELEASED: "Redan överförd",
        Disposition.LEAVE: "Ska inte migreras",
        Disposition.HANDLE_MANUALLY: "Hanteras manuellt",
        Disposition.BOOK_IN_PMO: "Bokas i PMO före driftstart",
        Disposition.BOOK_IN_MILLENNIUM: "Bokas direkt i Millennium",
        Disposition.FIX_IN_PMO: "Åtgärda i PMO",
        Disposition.PLAN_UNIT: "Enhet saknar driftstart",
        Disposition.MOVE_TO_SDV_LIST: "Flytta till SDV-väntelista",
        Disposition.MIGRATE: "Migreras",
    }
)


@dataclass(frozen=True)
class DispositionText:
    """What a disposition means for a unit, and what its staff must do."""

    meaning: str
    action: str


DISPOSITION_TEXTS: Final[Mapping[str, DispositionText]] = MappingProxyType(
    {
        Disposition.ALREADY_RELEASED: DispositionText(
            "Posten är redan överförd till Millennium som bokningsbegäran.",
            "Inget i PMO. Ändringar som gäller patienten görs i Millennium.",
        ),
        Disposition.LEAVE: DispositionText(
            "Administrativ post: ingen patient väntar på besök.",
            "Inget, om posten inte ligger på en SDV-väntelista: ta i så fall bort den därifrån.",
        ),
        Disposition.HANDLE_MANUALLY: DispositionText(
            "Patienten saknar giltigt personnummer eller namn, har samordningsnummer eller reservnummer, eller är en "
            "testpatient.",
            "Rätta i PMO om det går. Boka annars patienten för hand i Millennium, och avsluta posten i PMO när "
            "patienten är bokad.",
        ),
        Disposition.BOOK_IN_PMO: DispositionText(
            "Besöket ska ske före driftstart, alltså innan enheten kan boka i Millennium.",
            "Boka patienten i PMO som vanligt före driftstart, och avsluta posten när patienten är bokad.",
        ),
        Disposition.BOOK_IN_MILLENNIUM: DispositionText(
            "Nybesök, besök som ska ske inom fyra veckor efter driftstart, eller enhet som redan är i drift.",
            "Boka patienten direkt i Millennium, och avsluta posten i PMO när patienten är bokad.",
        ),
        Disposition.FIX_IN_PMO: DispositionText(
            "Något i posten måste rättas innan den kan migreras.", "Rätta posten i PMO."
        ),
        Disposition.PLAN_UNIT: DispositionText(
            "Enheten saknar driftstart i migreringsplanen.",
            "Inget: migreringsledningen lägger in driftstarten.",
        ),
        Disposition.MOVE_TO_SDV_LIST: DispositionText(
            "Posten kan migreras, men ligger inte på en SDV-väntelista.",
            "Byt kategori i PMO till den SDV-väntelista som föreslås.",
        ),
        Disposition.MIGRATE: DispositionText(
            "Posten migreras till Millennium som bokningsbegäran.",
            "Inget, om posten inte har en anmärkning att kontrollera.",
        ),
    }
)

CONTACT_FORM_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {"besok": "Besök", "telefon": "Telefon", "video": "Video", "hembesok": "Hembesök"}
)

RULE_TEXTS: Final[Mapping[Code, RuleText]] = MappingProxyType(
    {
        Code.NOT_WAITING: RuleText(
            "Ingen patient väntar", "Administrativ post: ingen patient väntar på besök. Den migreras inte."
        ),
        Code.NOT_WAITING_ON_SDV_LIST: RuleText(
            "Administrativ post på SDV-väntelista",
            "Ta bort posten från SDV-väntelistan: ingen patient väntar på besök.",
        ),
        Code.ID_MISSING: RuleText(
            "Personnummer saknas",
            "Fyll i patientens personnummer i PMO. Går det inte, boka patienten för hand i Millennium och avsluta "
            "posten i PMO när patienten är bokad.",
        ),
        Code.ID_INVALID: RuleText(
            "Ogiltigt personnummer",
            "Kontrollera och rätta personnumret i PMO. Går det inte, boka patienten för hand i Millennium och avsluta "
            "posten i PMO när patienten är bokad.",
        ),
        Code.ID_COORDINATION_NUMBER: RuleText(
            "Samordningsnummer",
            "Patienter med samordningsnummer kan inte migreras maskinellt. Boka patienten för hand i Millennium, och "
            "avsluta posten i PMO när patienten är bokad.",
        ),
        Code.ID_RESERVE_NUMBER: RuleText(
            "Reservnummer",
            "Patienter med reservnummer kan inte migreras maskinellt. Boka patienten för hand i Millennium, och "
            "avsluta posten i PMO när patienten är bokad.",
            "Patienter med reservnummer kan inte migreras maskinellt. Boka patienten för hand i Millennium, och "
            "avsluta posten i PMO när patienten är bokad. Troligt format: {detail}.",
        ),
        Code.ID_UNSAFE_ON_SDV_LIST: RuleText(
            "Saknar säkert personnummer på SDV-väntelista",
            "Ta bort posten från SDV-väntelistan: patienten har inget giltigt personnummer.",
        ),
        Code.TEST_PERSON: RuleText(
            "Testpatient",
            "Numret tillhör en testpatient. Kontrollera namnet. Är det en testpatient, avsluta posten i PMO. Är det en "
            "verklig patient, rätta personnumret i PMO.",
        ),
        Code.NAME_MISSING: RuleText(
            "Patientnamn saknas",
            "Fyll i patientens namn i PMO. Går det inte, boka patienten för hand i Millennium och avsluta posten i PMO "
            "när patienten är bokad.",
        ),
        Code.FIRST_VISIT: RuleText(
            "Nybesök",
            "Nybesök migreras inte. Boka patienten direkt i Millennium, och avsluta posten i PMO när patienten är "
            "bokad.",
        ),
        Code.DATE_MISSING: RuleText(
            "Datum saknas",
            "Fyll i både Boka fr.o.m. och Boka före med giltiga datum.",
            "Fyll i ett giltigt datum i {detail}.",
        ),
        Code.DATE_INVERTED: RuleText("Datum i fel ordning", "Rätta datumen: Boka fr.o.m. ligger efter Boka före."),
        Code.DATE_EXPIRED: RuleText(
            "Rött datum",
            "Boka före har passerat. Uppdatera datumintervallet, eller avsluta posten om patienten inte längre väntar.",
        ),
        Code.ENDS_BEFORE_GO_LIVE: RuleText(
            "Slutar före driftstart",
            "Boka före ligger före enhetens driftstart. Boka patienten i PMO som vanligt före driftstart, och avsluta "
            "posten när patienten är bokad.",
            "Boka före ligger före enhetens driftstart {detail}. Boka patienten i PMO som vanligt före driftstart, och "
            "avsluta posten när patienten är bokad.",
        ),
        Code.WITHIN_CUTOFF: RuleText(
            "Inom fyra veckor efter driftstart",
            "Patienten kan behöva komma inom fyra veckor efter driftstart. Boka patienten direkt i Millennium, och "
            "avsluta posten i PMO när patienten är bokad.",
            "Patienten kan behöva komma senast {detail}. Boka patienten direkt i Millennium, och avsluta posten i PMO "
            "när patienten är bokad.",
        ),
        Code.NOT_ELIGIBLE_ON_SDV_LIST: RuleText(
            "Bokas för hand men ligger på SDV-väntelista",
            "Ta bort posten från SDV-väntelistan: patienten bokas för hand och skulle annars bokas två gånger.",
        ),
        Code.STRADDLES_CUTOFF: RuleText(
            "Datumintervallet går över fyraveckorsgränsen",
            "Datumintervallet börjar före gränsen fyra veckor efter driftstart och slutar efter den. "
            "Bestäm på vilken sida av gränsen patienten ska bokas, och ändra datumintervallet efter det.",
            "Datumintervallet börjar senast {detail} (fyra veckor efter driftstart) och slutar därefter. "
            "Bestäm på vilken sida av gränsen patienten ska bokas, och ändra datumintervallet efter det.",
        ),
        Code.UNIT_UNPLANNED: RuleText(
            "Enheten saknar driftstart",
            "Enheten saknar driftstart i planen. Migreringsledningen lägger in den.",
        ),
        Code.UNIT_ALREADY_LIVE: RuleText(
            "Enheten är redan i drift",
            "Enheten är redan i drift i Millennium. Boka patienten där, och avsluta posten i PMO när patienten är "
            "bokad.",
            "Enheten är i drift i Millennium sedan {detail}. Boka patienten där, och avsluta posten i PMO när "
            "patienten är bokad.",
        ),
        Code.CATEGORY_UNKNOWN: RuleText(
            "Okänd kategori",
            "Välj en SDV-väntelista inom enhetens vårdområde: kategorin är varken en SDV-väntelista eller en kategori "
            "som har en rekommenderad lista. Ingen av enhetens listor liknar kategorins namn: välj efter vad besöket "
            "gäller.",
            "Välj en SDV-väntelista inom enhetens vårdområde: kategorin är varken en SDV-väntelista eller en kategori "
            "som har en rekommenderad lista. Närmast är {detail}.",
        ),
        Code.CATEGORY_NOT_MOVED: RuleText(
            "Inte flyttad till SDV-väntelista",
            "Flytta posten till en SDV-väntelista inom enhetens vårdområde.",
            "Flytta posten till {detail}.",
        ),
        Code.LIST_OUTSIDE_CARE_AREA: RuleText(
            "Listan hör inte till enhetens vårdområde",
            "Välj en SDV-väntelista inom enhetens vårdområde.",
            "Välj en SDV-väntelista inom enhetens vårdområde: listan hör till {detail}.",
        ),
        Code.CONTACT_FORM_MISMATCH: RuleText(
            "Kontaktformen stämmer inte med listan",
            "Rätta kontaktformen, eller välj en annan SDV-väntelista: de säger olika.",
            "Rätta kontaktformen, eller välj en annan SDV-väntelista: listan gäller {detail}.",
        ),
        Code.BRANCH_NOT_IN_TEXT: RuleText(
            "Filialen nämns inte i texten",
            "Skriv platsen för besöket i Orsak eller Planerade åtgärder: besöket sker på filial.",
        ),
        Code.ATTACHMENT_NOT_MIGRATED: RuleText(
            "Bilaga följer inte med",
            "Bilagan migreras inte. Kontrollera att viktig information står i Orsak eller Planerade åtgärder. Raden "
            "står kvar så länge posten har en bilaga.",
        ),
        Code.ATTACHMENT_WITHOUT_TEXT: RuleText(
            "Bilaga utan text",
            "Skriv det viktiga ur bilagan i Orsak eller Planerade åtgärder: bilagan migreras inte, och båda är tomma.",
        ),
        Code.AGE_MISMATCH: RuleText(
            "Åldern stämmer inte med listan",
            "Rätta SDV-väntelista eller datum: patientens ålder passar inte listan under datumintervallet.",
        ),
        Code.AGE_IMPLAUSIBLE: RuleText(
            "Osannolik ålder",
            "Numret läses som ett barn under två år. Har patienten fyllt hundra år, skriv numret med + i stället för "
            "bindestreck. Är det ett barn, skriv numret med tolv siffror.",
        ),
        Code.DUPLICATE_POST: RuleText(
            "Möjlig dubblett",
            "Samma patient har flera poster på enheten för samma lista med överlappande datum. Avsluta dubbletten, "
            "eller rätta datumen om båda besöken behövs.",
        ),
        Code.CONTACT_FORM_UNKNOWN: RuleText(
            "Okänd kontaktform", "Ange kontaktform: besök, telefon, video eller hembesök."
        ),
        Code.DESCRIPTION_OVER_LIMIT: RuleText(
            "Lång beskrivning",
            "Texterna är längre än fältet i Millennium. Korta ned dem så att allt får plats.",
            "Texterna blir {detail} tecken, fler än fältet i Millennium rymmer. Korta ned dem så att allt får plats.",
        ),
        Code.TEXT_CLEANED: RuleText(
            "Otillåtna tecken borttagna", "Osynliga styrtecken togs bort ur texten. Ingen åtgärd behövs."
        ),
        Code.ALREADY_RELEASED: RuleText(
            "Redan överförd", "Posten är redan överförd till Millennium. Ändringar görs där."
        ),
        Code.PROTECTED_IDENTITY: RuleText(
            "Sekretessmarkering",
            "Patienten har sekretessmarkering. Märkningen följer med till Millennium.",
            "Patienten har skyddade personuppgifter enligt {detail}. Märkningen följer med till Millennium.",
        ),
        Code.PU_DECEASED: RuleText(
            "Avliden enligt folkbokföringen",
            "Patienten är avliden enligt folkbokföringen. Ta bort posten i PMO. Skicka ingen kallelse.",
        ),
        Code.PU_NUMBER_CHANGED: RuleText(
            "Personnumret har ersatts",
            "Patienten har fått ett annat personnummer enligt folkbokföringen. Ta reda på vilket, och rätta "
            "personnumret i PMO. Går det inte, boka patienten för hand i Millennium och avsluta posten i PMO när "
            "patienten är bokad.",
        ),
        Code.PU_DEREGISTERED: RuleText(
            "Inte längre folkbokförd",
            "Patienten är inte längre folkbokförd. Ta reda på om patienten ska komma innan någon kallelse skickas. "
            "Ska patienten komma, boka för hand i Millennium. Avsluta sedan posten i PMO.",
            "Patienten är inte längre folkbokförd ({detail}). Ta reda på om patienten ska komma innan någon kallelse "
            "skickas. Ska patienten komma, boka för hand i Millennium. Avsluta sedan posten i PMO.",
        ),
        Code.PU_NOT_FOUND: RuleText(
            "Okänt personnummer",
            "Personuppgiftstjänsten känner inte till personnumret. Kontrollera och rätta det i PMO. Går det inte, "
            "boka patienten för hand i Millennium och avsluta posten i PMO när patienten är bokad.",
        ),
        Code.PU_TEST_PERSON: RuleText(
            "Testperson enligt Personuppgiftstjänsten",
            "Numret tillhör en testperson enligt Personuppgiftstjänsten. Kontrollera namnet. Är det en testpatient, "
            "avsluta posten i PMO. Är det en verklig patient, rätta personnumret i PMO.",
        ),
        Code.PU_NAME_MISMATCH: RuleText(
            "Namnet stämmer inte med folkbokföringen",
            "Efternamnet i PMO är ett annat än folkbokföringens. Antingen har patienten bytt efternamn, eller så är "
            "personnumret någon annans. Kontrollera vem patienten är, och rätta namnet eller personnumret i PMO.",
        ),
        Code.PU_NOT_ASKED: RuleText(
            "Inte kontrollerad mot folkbokföringen",
            "Personuppgiftstjänsten har inte svarat om patienten. Ingen åtgärd behövs: frågan ställs igen.",
        ),
    }
)

REQUEST_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{column.name: column.label for column in COLUMNS},
        "enhet": "Enhet",
        "vantar_pa_besok": "Väntar på besök",
        "nybesok": "Nybesök",
        **{code.value: RULE_TEXTS[code].label for code in (*OF_PERSONS, Code.PROTECTED_IDENTITY)},
    }
)
"""The names in Millennium and PMO of the columns that a change after release may name."""


@dataclass(frozen=True)
class WorkListText:
    """The title of a sheet of a unit's work list (at most 31 characters), and what to do about its posts."""

    title: str
    action: str


WORK_LIST_TEXTS: Final[Mapping[str, WorkListText]] = MappingProxyType(
    {
        "fix_in_pmo": WorkListText(
            DISPOSITION_LABELS[Disposition.FIX_IN_PMO],
            "Rätta posten i PMO. När ett datum har rättats gäller: ligger hela datumintervallet mer än fyra veckor "
            "efter driftstart flyttas posten till en SDV-väntelista, slutar det före driftstart bokas patienten i PMO, "
            "och annars bokas patienten direkt i Millennium.",
        ),
        "move_to_sdv_list": WorkListText(
            DISPOSITION_LABELS[Disposition.MOVE_TO_SDV_LIST],
            "Byt kategori i PMO till den SDV-väntelista som föreslås, eller till en annan SDV-väntelista om den "
            "passar besöket bättre. Rätta också det andra som står under Gör så här.",
        ),
        "book_in_pmo": WorkListText(
            DISPOSITION_LABELS[Disposition.BOOK_IN_PMO],
            "De här patienterna ska komma före driftstart och migreras inte. Boka dem i PMO som vanligt, och avsluta "
            "posten när patienten är bokad. Ligger posten på en SDV-väntelista ska den tas bort därifrån, annars bokas "
            "patienten två gånger.",
        ),
        "book_in_millennium": WorkListText(
            DISPOSITION_LABELS[Disposition.BOOK_IN_MILLENNIUM],
            "De här patienterna migreras inte. Boka dem direkt i Millennium, och avsluta posten i PMO när patienten är "
            "bokad. Ligger posten på en SDV-väntelista ska den tas bort därifrån, annars bokas patienten två gånger.",
        ),
        "handle_manually": WorkListText(
            DISPOSITION_LABELS[Disposition.HANDLE_MANUALLY],
            "De här patienterna kan inte migreras maskinellt. Rätta personnummer eller namn i PMO om det går. Boka "
            "annars patienten för hand i Millennium, och avsluta posten i PMO när patienten är bokad. Posten ska inte "
            "ligga på en SDV-väntelista så länge numret är osäkert.",
        ),
        "check": WorkListText(
            "Migreras - kontrollera",
            "De här posterna migreras som de är. Kontrollera anmärkningen innan dess, så att inget viktigt går "
            "förlorat och ingen patient får två tider.",
        ),
        "take_off_sdv_list": WorkListText(
            "Ta bort från SDV-väntelista",
            "Administrativa poster som ligger på en SDV-väntelista. Ta bort dem därifrån: ingen patient väntar på "
            "besök, och de migreras inte.",
        ),
        "rejected_by_millennium": WorkListText(
            "Avvisade av Millennium",
            "De här posterna är överförda, men mottagaren har avvisat dem: patienten finns inte på Millenniums "
            "arbetslista. Boka patienten direkt i Millennium, eller avsluta posten i PMO om patienten inte längre "
            "väntar.",
        ),
        "correct_in_millennium": WorkListText(
            "Rätta i Millennium",
            "De här posterna är redan överförda, men PMO säger nu något annat. Rätta bokningsbegäran i Millennium "
            "för hand: ingenting som ändras i PMO överförs igen.",
        ),
        "plan_unit": WorkListText(
            DISPOSITION_LABELS[Disposition.PLAN_UNIT],
            "De här posterna kan rättas redan nu, medan migreringsledningen lägger in enhetens driftstart.",
        ),
        "owed": WorkListText(
            "Utan utfall",
            "De här posterna stod kvar när enhetens våg överfördes, eller avvisades av Millennium, och saknar utfall. "
            "Inget annat ska göras med dem, och de står inte på någon annan flik. Ange på enhetens sida vad det blev.",
        ),
    }
)

WORK_LIST_SAY_OUTCOME: Final = (
    "Ange på enhetens sida, under Utan utfall, vad som blev av posten: bokad, flyttad eller inte längre aktuell."
)
"""Shown in a work list for a post that only lacks its outcome."""

WORK_LIST_OWED_MEANING: Final = (
    "Poster som stod kvar när vågen överfördes, eller som Millennium avvisade, och som saknar utfall. De flesta står "
    "också på en annan flik. De ingår inte i summan."
)
"""Beside their number in a workbook's summary."""

WORK_LIST_FIX_WHEN_LIVE: Final = DispositionText(
    "Något i posten måste rättas innan patienten kan bokas.",
    "Rätta posten i PMO, eller avsluta den, och boka patienten direkt i Millennium: enheten är i drift och inget "
    "migreras längre.",
)
"""Replaces the text of ``fix_in_pmo`` for a unit that is live."""

WORK_LIST_COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sheet": "Lista",
        "done": "Klart",
        "post_id": "Post-id",
        "personnummer": "Personnummer",
        "patient": "Namn",
        "kategori": "Kategori i PMO",
        "boka_from": "Boka fr.o.m.",
        "boka_fore": "Boka före",
        "kontaktform": "Kontaktform",
        "anvandare": "Användare",
        "filial": "Filial",
        "unit_in_pmo": "Enhet i PMO",
        "recommended_list": "Flytta till",
        "label": "Anmärkning",
        "action": "Gör så här",
        "others": "Övriga anmärkningar",
        "note": "Anteckning",
        "since": "På listan sedan",
    }
)

WORK_LIST_ASK: Final = "din närmaste representant i PMO:s systemförvaltningsgrupp, eller"
"""Before the addresses to which the staff of a unit write (chapter 7)."""

WORK_LIST_OWN_LISTS: Final = "Listorna inom enhetens vårdområden. Kolumnen Flytta till väljer bland dem."

WORK_LIST_LIST_COLUMNS: Final = ("SDV-väntelista", "Yrkeskategori", "Vårdkontaktsorsak", "Kontaktform", "För vem")

WORK_LIST_MASKED: Final = "Sekretess"
"""Shown in work lists instead of the name and the number of a protected identity."""

PERSON_MASKED: Final = "Skyddade personuppgifter"
"""Shown in the dashboard instead of the name and the number of a protected identity."""

PERSON: Final = "person"
"""What the person service says of a released post's patient; not a kind of ``released_change``."""

PERSONS_NOT_ASKED: Final = "Personuppgiftstjänsten tillfrågades inte"
"""The note on a run that had not to ask."""

PERSONS_SUITE: Final = "Kontrollen av Personuppgiftstjänstens svar"
"""The suite over the answers of the person service."""

PERSONS_SUITE_NOT_APPLICABLE: Final = f"{PERSONS_SUITE} gäller inte den här körningen."
"""What a page says of that suite where nobody had to be asked."""

WORK_LIST_CHANGES: Final[Mapping[str, RuleText]] = MappingProxyType(
    {
        "changed": RuleText(
            "Ändrad i PMO",
            "Posten har ändrats i PMO efter överföringen. Rätta bokningsbegäran i Millennium.",
            "Har ändrats i PMO efter överföringen: {detail}. Rätta bokningsbegäran i Millennium.",
        ),
        PERSON: RuleText(
            "Kontrollera patienten först",
            "Personuppgiftstjänsten säger något nytt om patienten efter överföringen. Skicka ingen kallelse förrän "
            "bokningsbegäran i Millennium är rättad.",
            "Efter överföringen, enligt Personuppgiftstjänsten: {detail}. Skicka ingen kallelse förrän "
            "bokningsbegäran i Millennium är rättad eller borttagen.",
        ),
        "gone": RuleText(
            "Avslutad i PMO",
            "Posten finns inte längre på väntelistan i PMO. Kontrollera om patienten fortfarande väntar, och ta annars "
            "bort bokningsbegäran i Millennium. Uppgifterna här är de som överfördes.",
        ),
    }
)
"""What happened in PMO to a post after its release to Millennium, by ``released_change.change``."""

WORK_LIST_REJECTED: Final = RuleText(
    "Avvisad av mottagaren",
    "Mottagaren har avvisat posten. {reason} Boka patienten direkt i Millennium.",
)
"""A released post that the receiver has rejected, with one of the next two."""

WORK_LIST_REASON: Final = "Mottagarens skäl: ”{detail}”."
WORK_LIST_WITHHELD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "protected": "Skälet visas inte här, eftersom patienten har skyddade personuppgifter.",
        "without_persons": "Skälet kan nämna patienten. Det står i arbetslistan, och här när personer visas.",
        "removed": "Skälet finns inte kvar.",
    }
)
"""Shown instead of the receiver's reason, by ``advice.Withheld``."""

WORK_LIST_HOW_TO_READ: Final = (
    "Listan visar läget den dag som står ovan. Det som rättas eller avslutas i PMO försvinner ur nästa lista.",
    "Överst på varje flik står poster där ett datum saknas eller inte går att läsa. Därefter kommer de i ordning efter "
    "Boka före, tidigast först. Röda datum har passerat.",
    "Sök upp posten i PMO med personnummer eller Post-id. Det som enheten har klarmarkerat på sin sida står i "
    "kolumnerna Klart och Anteckning. Det som skrivs här i filen når inte sidan: klarmarkera där.",
    "På listan sedan: den första natten då posten stod på listan av samma anledning. Kolumnerna till "
    "höger om Anteckning skrivs inte ut.",
    "Sekretess: patientens namn och personnummer visas inte i listan. Sök upp posten i PMO med Post-id.",
    "Listan innehåller personuppgifter. Hantera den med samma sekretess som en journal.",
)


WORK_LIST_GOES_AWAY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "fix_in_pmo": "Raden försvinner när posten är rättad eller avslutad i PMO.",
        "move_to_sdv_list": "Raden försvinner när posten ligger på en SDV-väntelista i PMO.",
        "book_in_pmo": "Raden försvinner när posten är avslutad i PMO. Klarmarkera den när patienten är bokad.",
        "book_in_millennium": "Raden försvinner när posten är avslutad i PMO. Klarmarkera den när patienten är bokad: "
        "nattens körning ser inte vad som bokas i Millennium.",
        "handle_manually": "Raden försvinner när uppgifterna är rättade eller posten är avslutad i PMO. Klarmarkera "
        "den när patienten är bokad.",
        "check": "Raden försvinner när anmärkningen är rättad i PMO, eller när du markerar den som kontrollerad.",
        "take_off_sdv_list": "Raden försvinner när posten inte längre ligger på SDV-väntelistan.",
        "rejected_by_millennium": "Klarmarkera raden när patienten är bokad: nattens körning ser inte vad som bokas i "
        "Millennium.",
        "owed": "Raden försvinner när du har angett vad det blev.",
        "correct_in_millennium": "Markera raden som kontrollerad när det är rättat i Millennium: det ser inte "
        "nattens körning.",
        "plan_unit": "Raden försvinner när posten är rättad i PMO.",
    }
)
"""What makes a row leave the list, by ``advice.Sheet``."""

WORK_LIST_MIGRATES_ANYWAY: Final = (
    "Posten är klarmarkerad men kommer ändå att migreras. Ta bort den från SDV-väntelistan eller avsluta den i PMO, "
    "eller ångra klarmarkeringen om patienten fortfarande väntar."
)
"""Shown for a post that its staff have given an outcome, and that migrates all the same."""

WORK_LIST_OWED: Final = (
    "Posten stod kvar när vågen överfördes, och finns inte längre på enhetens lista i PMO. Ange vad som blev av den: "
    "bokad, flyttad eller inte längre aktuell."
)
"""Shown for a post that must get an outcome, and that is not at its unit any more."""

WORK_LIST_OWED_GOES_AWAY: Final = "Raden försvinner när du har angett vad det blev."
"""What makes such a row leave the list."""

WORK_LIST_OWED_MIGRATES: Final = "Posten får sitt utfall när den överförs i en senare körning."
"""Shown for a post that must get an outcome, and that migrates as it is now."""

POST_OUTCOME_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "booked_millennium": "Bokad i Millennium",
        "booked_pmo": "Bokad i PMO",
        "moved": "Flyttad till annan enhet eller annat system",
        "not_needed": "Behövs inte längre",
        "deceased": "Patienten är avliden",
        "released_later": "Överförd senare",
        "closed_in_pmo": "Avslutad i PMO",
        "checked": "Kontrollerad",
        "undone": "Ångrad",
    }
)
"""By ``staging.states.PostOutcome``."""

WENT_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "closed": "Avslutad eller borttagen i PMO",
        "migrates": "Migreras nu",
        "moved": "Finns nu på en annan enhet",
        "released": "Överförd till Millennium",
        "corrected": "Rättad i PMO",
    }
)
"""Why a post is no longer on the list, by ``pages.unit_posts.Went``."""

CLOSING_FAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "no_release": "Inget av vågen är överfört, så det finns inget att avsluta.",
        "only_a_lead": "Något saknas fortfarande, så bara en migreringsledare kan avsluta vågen.",
        "reason_missing": "Något saknas fortfarande. Skriv varför vågen avslutas ändå, med minst 10 tecken.",
        "reason_long": "Motiveringen är för lång. Den får ha högst 2 000 tecken.",
        "reason_has_number": "Skriv motiveringen utan personnummer.",
    }
)
"""By ``release.closing.ClosingFault``."""

WORD_FAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing": "Skriv varför besöket inte behövs längre.",
        "long": "Skriv kortare: högst 200 tecken.",
        "has_number": "Skriv utan personnummer: posten hittas med sitt post-id.",
    }
)
"""By ``staging.post_outcomes.WordFault``."""


def rule_label(code: str) -> str:
    """Return the short Swedish name of a rule."""
    return RULE_TEXTS[Code(code)].label


def finding_text(code: str, detail: str | None) -> str:
    """Return what staff must do about a finding, with the chapter of the instruction that requires it."""
    rule = RULES[Code(code)]
    text = RULE_TEXTS[rule.code]
    if detail and rule.code is Code.CONTACT_FORM_MISMATCH:
        detail = CONTACT_FORM_LABELS.get(detail, detail).lower()
    sentence = text.with_detail.format(detail=detail) if text.with_detail and detail else text.action
    # "Boka fr.o.m." ends with a full stop already.
    sentence = sentence.replace("..", ".")
    chapter = rule.chapter
    if "steg" in chapter:
        # "kapitel 2 steg 6, 4" would read as two steps.
        chapter = chapter.replace(", ", " och kapitel ")
    return f"{sentence} (Instruktionen, kapitel {chapter})" if chapter else sentence


GATE_LABELS: Final[Mapping[Gate, str]] = MappingProxyType(
    {
        Gate.CRITICAL_SUITES: "Kritiska kontroller som inte är uppfyllda",
        Gate.ACCOUNTING: "Poster som inte stämmer i avstämningen",
        Gate.EXTRACT_DEVIATION: "Skillnad i antal poster mot senaste torrkörningen",
        Gate.UNITS_WITHOUT_GO_LIVE: "Enheter utan driftstart",
        Gate.UNHANDLED_SHARE: "Andel poster som ännu inte är hanterade",
        Gate.DRY_RUN_AGE_DAYS: "Dagar sedan föregående torrkörning",
        Gate.TARGET_REFS_MISSING: "Platser och besökstyper utan referens i Millennium",
        Gate.PERSONS_NOT_ASKED: "Väntande poster utan svar från Personuppgiftstjänsten",
        Gate.SAMPLE: "Stickprovet: poster och fel som återstår",
    }
)


OUTCOME_LABELS: Final[Mapping[Outcome | None, str]] = {
    Outcome.PASSED: "Uppfyllt",
    Outcome.FAILED: "Inte uppfyllt",
    Outcome.NOT_APPLICABLE: "Inget att granska",
    Outcome.ERROR: "Kunde inte granskas",
    None: "Inte gjord",
}
"""The outcome of an expectation; None: no suite was run with it."""


SEVERITY_LABELS: Final[Mapping[FailureSeverity, str]] = {
    FailureSeverity.CRITICAL: "Kritiskt",
    FailureSeverity.WARNING: "Varning",
    FailureSeverity.INFO: "Upplysning",
}

SAMPLE_STAGES: Final[Mapping[str, str]] = MappingProxyType({"before": "PMO", "after": "Millennium"})
"""With what a sample is compared, by ``staging.sample_verdicts.Stage``."""

SAMPLE_VERDICTS: Final[Mapping[str, str]] = MappingProxyType(
    {"right": "Rätt", "wrong": "Fel", "changed": "Ändrad sedan läsningen"}
)
"""What somebody says of a field or a post of a sample."""

SAMPLE_SOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "person_id": "Personnummer, tolv siffror",
        "begard_plats": "Enhet, eller enhetens plats enligt units.csv",
        "patientnamn": "Patient",
        "begart_startdatum": "Boka fr.o.m.",
        "begart_slutdatum": "Boka före",
        "besokstyp": "Kategori (SDV-väntelistan)",
        "vardinrattning": "Enhet, eller enhetens vårdinrättning enligt units.csv",
        "beskrivning": "Användare, Orsak och Planerade åtgärder, i den ordningen",
        "sekretess": "Sekretessmarkering",
    }
)
"""Where PMO shows what a field of Bokningsbegäran is made from (chapter 6)."""

SAMPLE_OFF: Final = "Grinden är av: gates.csv har ingen gräns för stickprovet."
"""What the page of a wave says where the gate was off when approval was asked for."""

SAMPLE_UNIT_AIM: Final = "Enheten har få poster i slumpdelen"
"""Why a post is in the aimed part for its unit's sake."""

SAMPLE_ANSWERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "overtaken": "Någon annan har bedömt posten sedan du öppnade den. Öppna den igen och läs bedömningen.",
        "closed": "Stickprovet bedöms inte längre: beslutet om vågen har fattats, eller så har det ändrats.",
        "corrected": "Du har själv klarmarkerat eller kontrollerat posten. Någon annan bedömer den.",
        "incomplete": "Alla fält ska bedömas. Öppna posten igen och välj Rätt, Fel eller Ändrad för varje fält.",
    }
)
"""Why a judgement was not kept."""

SAMPLE_WORD_FAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing": "Skriv vad som har ändrats sedan läsningen.",
        "long": "Skriv kortare: högst 200 tecken.",
        "has_number": "Skriv utan personnummer: posten hittas med sitt post-id.",
    }
)
"""By ``staging.post_outcomes.WordFault``."""

LOG_ACTIONS: Final[Mapping[str, str]] = {
    "persons": "Visade personer",
    "protected": "Visade skyddade personuppgifter",
    "work_list": "Hämtade arbetslista",
    "work_list_file": "Skrev arbetslista till fil",
    "back_out": "Hämtade vad som ska tillbaka ur Millennium",
    "back_out_file": "Skrev vad som ska tillbaka ur Millennium till fil",
    "sample": "Jämförde bokningsbegäran",
    "hand_off": "Skrev överföringens filer",
}
"""What somebody did, in the access log."""
LOG_VERDICTS: Final[Mapping[str, str]] = {
    "in_order": "I ordning",
    "not_in_order": "Inte i ordning",
    "unclear": "Oklart",
}
"""What a reader of the access log says of an entry."""

SUITE_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "booking_requests": "Bokningsbegäran",
        "categories": "Kategorier och listor",
        "dates": "Datum",
        "extract_contract": "Utdraget ur PMO",
        "identity": "Identitet",
        "persons": "Personuppgiftstjänstens svar",
    }
)
"""The names of our expectation suites, for readers of Beslutsunderlag; a region may have others."""

RISK_EVIDENCE: Final[Mapping[str, str]] = {
    "gate_passed": "Godkänd",
    "gate_failed": "Underkänd",
    "gate_off": "Av, eller inte mätt",
    "posts": "Hittade {posts} poster",
    "no_posts": "Hittade inga poster",
    "not_asked": "Ingen kontroll gjord",
    "suite": "Krav ({suite})",
    "suite_counts": "{good} av {every} uppfyllda",
    "test": "Körs innan en ny version tas i bruk",
}
"""What a control of a risk has shown in a batch."""

BACK_OUT_TO_DO: Final[Mapping[str, str]] = {
    "cancel": "Avboka i Millennium",
    "by_hand": "Bokad, hantera för hand",
    "ask": "Obesvarad, fråga mottagaren",
    "nothing": "Klar, mottagaren har bekräftat",
}
"""What must be done with a post of a wave that is withdrawn after its load."""
BACK_OUT_ANSWERS: Final[Mapping[str, str]] = {
    "unanswered": "Obesvarad",
    "contradicted": "Motsägande svar",
    "accepted": "Mottagen",
    "booked": "Bokad",
    "cancelled": "Avbokad",
    "rejected": "Avvisad",
}
"""What the receiver has said of one post."""
BACK_OUT_GONE: Final = "Finns inte längre i PMO"
BACK_OUT_COLUMNS: Final[Mapping[str, str]] = {
    "to_do": "Att göra",
    "unit": "Enhet",
    "post_id": "Post-id",
    "person_id": "Personnummer",
    "patient": "Patient",
    "besokstyp": "Besökstyp",
    "boka_from": "Boka fr.o.m.",
    "boka_fore": "Boka före",
    "answer": "Mottagarens svar",
    "booked_for": "Bokad till",
    "changed": "Ändrat i PMO sedan dess",
}
BACK_OUT_HOW_TO_READ: Final = (
    "Avboka: begäran ligger kvar i Millenniums arbetslista. Ta bort den där, så bekräftar mottagaren.",
    "Bokad: patienten har fått en tid. Bestäm för var och en om tiden står kvar eller flyttas till PMO.",
    "Obesvarad: ingen vet om begäran finns i Millennium. Sök på personnumret innan något görs.",
    "Klar: mottagaren har avbokat eller avvisat den. Posten bedöms på nytt nästa natt.",
)

LEAD_DECISION_FAULTS: Final[Mapping[str, str]] = {
    "reason": "Skriv varför, minst tio tecken och högst 500, utan personnummer. Inget ändrades.",
    "refused": "Inget ändrades: mottagaren har sagt något mer, eller någon annan har redan bestämt. Se svaren nedan.",
}
"""Why a lead's decision about a post was not kept."""

UNKNOWN_UNIT_NAME: Final = "Okänd enhet"
"""The unit's name for posts to which PMO gives no unit, or no valid HSA-id."""
