"""A record with every field of the contract, each at its greatest length, and some of them twenty times.

A consumer must accept it. It also has elements that the contract does not have, and that must be ignored.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

_Value = str | Mapping[str, Any] | Sequence[Any]
"""A text, an element's own elements in the schema's order, or an element that comes several times."""

_MUCH: Final = "a text without a limit " * 50
_80, _64, _40, _10, _2 = ("Å" * length for length in (80, 64, 40, 10, 2))
_STAMP: Final = "20240102030405"
_INSTANT: Final = "2024-01-02T03:04:05.678901+01:00"
_TIMES: Final = 20

_IDENTITY: Final = {"root": _MUCH, "extension": _MUCH}
_DATE: Final = {"format": "YYYY-MM-DD", "value": "2024-01-02"}
_PERIOD: Final = {"start": "2024-01-02", "end": "2024-01-03"}
_NAME: Final = {
    "givenNameIndicator": "99", "givenName": _80, "middleName": _80, "surname": _80, "notificationName": _40,
}  # fmt: skip
_DEREGISTRATION: Final = {"deregistrationReasonCode": _40, "deregistrationDate": _DATE, "foundDeadAtDate": _DATE}
_ADDRESS: Final = {
    "careOf": _40, "postalAddress1": _40, "postalAddress2": _40, "postalCode": "99999", "city": _40,
}  # fmt: skip
_LOCALITY: Final = {
    "populationRegistrationDate": _DATE,
    "countyCode": _2,
    "municipalityCode": _2,
    "parishCode": _2,
    "propertyDesignation": _40,
    "fictitiousPropertyNumber": "999",
    "populationRegistrationType": _40,
    "localRegistrationTime": _INSTANT,
    "localRegistrationEndTime": _INSTANT,
}
_CONTACT: Final = {
    "contactType": _40,
    "use": _40,
    "value": _MUCH,
    "rank": "-2147483648",
    "comment": _MUCH,
    "period": _PERIOD,
    "digitalNotification": "false",
}
_ACTOR: Final = {"id": _IDENTITY, "professional": {"organizationId": _IDENTITY}, "updateTime": _STAMP}

FIELDS: Final[Mapping[str, _Value]] = {
    "personalIdentity": _IDENTITY,
    "identityLevel": _MUCH,
    "identityLevelDate": _DATE,
    "gender": _40,
    "protectedPersonIndicator": "false",
    "testIndicator": "false",
    "primaryIdentity": "false",
    "version": _STAMP,
    "name": _NAME,
    "linkedIdentity": [
        {"referredPersonalIdentity": _IDENTITY, "assuranceLevel": _40, "primaryIdentity": "false"}
    ] * _TIMES,
    "referredPersonalIdentities": [
        {"referredPersonalIdentity": _IDENTITY, "referredPersonalIdentityStatus": _MUCH}
    ] * _TIMES,
    "birth": {
        "dateOfBirth": _DATE,
        "placeOfBirthSweden": {"birthCountyCode": _2, "birthParish": _40},
        "birthAbroad": {"placeOfBirthAbroad": _80, "countryOfBirth": _40},
    },
    "populationRegistrationLocality": _LOCALITY,
    "populationRegistrationRecord": {
        "syncronizationTime": _INSTANT,
        "notificationCase": {
            "recordId": "2024.001.002.003",
            "notificationType": _40,
            "modificationTime": _INSTANT,
            "totalRecord": "false",
            "notificationDate": _DATE,
        },
        "historicalRecords": {
            "populationRegistrationLocality": [_LOCALITY] * _TIMES,
            "historicalAddress": _ADDRESS,
        },
    },
    "addressInformation": {
        "residentialAddress": _ADDRESS,
        "nationalKeys": {"propertyId": _10, "addressPlaceId": "9" * 14, "apartmentId": "9" * 14},
        "district": {"districtCode": _MUCH * 10},
        "specialPostalAddress": _ADDRESS,
        "addressAbroad": {
            "postalAddress1": _40,
            "postalAddress2": _40,
            "postalAddress3": _40,
            "countryCode": _40,
            "addressAbroadDate": _DATE,
            "votingDate": _DATE,
        },
        "givenAddress": _ADDRESS,
        "UUID": {"propertyId": _MUCH, "addressPlaceId": _MUCH, "apartmentId": _MUCH},
    },
    "contactInformation": [_CONTACT] * _TIMES,
    "contactPerson": [
        {
            "contactRelationshipType": _40,
            "priorityOrder": "-2147483648",
            "givenName": _80,
            "surName": _80,
            "middleName": _80,
            "contactPersonAddress": _ADDRESS,
            "contactPersonContactInformation": [_CONTACT] * _TIMES,
        }
    ] * _TIMES,
    "confirmedIdentity": [
        {
            "typeOfIdentification": _40,
            "identificationNumber": _MUCH,
            "issuersOfId": _MUCH,
            "validDatePeriod": _PERIOD,
            "attachmentId": [_MUCH] * _TIMES,
            "countryCode": _2,
        }
    ] * _TIMES,
    "administrativeInformation": {"categoryOfPerson": _40, "accountCode": _40, "comment": _MUCH},
    "deregistration": _DEREGISTRATION,
    "maritalStatus": {"maritalStatusCode": _40, "maritalStatusDate": _DATE},
    "immigration": {
        "immigrationDate": _DATE,
        "rightOfResidence": "false",
        "immigrationIdentity": [{"personalIdentityNumber": _64, "country": _2}] * _TIMES,
    },
    "citizenship": [{"citizenshipCountryCode": _2, "citizenshipDate": _DATE, "status": _40}] * _TIMES,
    "relationship": [
        {
            "relationshipId": {"personalIdentity": _IDENTITY, "dateOfBirth": _DATE},
            "relationshipType": _40,
            "relationshipFromDate": _DATE,
            "relationshipToDate": _DATE,
            "name": _NAME,
            "deregistration": _DEREGISTRATION,
            "status": _40,
        }
    ] * _TIMES,
    "coOrdinationNumberData": {
        "allocationDate": _DATE, "preliminaryTransferDate": _DATE, "renewalDate": _DATE, "deceasedDate": _DATE,
    },
    "personalIdentityStatus": {
        "identityStatus": _MUCH, "identityStatusDate": _DATE, "identityStatusCause": _MUCH,
    },
    "updatePersonActor": _ACTOR,
    "updatePersonContactInformationActor": _ACTOR,
    "attachment": [
        {"id": _MUCH, "mediaType": _40, "value": "QUJD" * 10_000, "reference": "https://example.invalid/" + "a" * 900}
    ] * _TIMES,
    "optoutPaperNotification": "false",
    "protectedPopulationRecord": "false",
}  # fmt: skip
"""Of ``personRecord``, in the schema's order."""

UNKNOWN: Final[Mapping[str, _Value]] = {"surname": _MUCH, "deregistration": _DEREGISTRATION}
"""Elements of a later version, in another namespace: they have names of fields, but they are not those fields."""
