/*
The tables of the synthetic PMO in SQL Server, and a login that may only read them.
Run by sqlcmd as sa; PMO_READER_PASSWORD comes from its environment. Running it again changes nothing but the password.
Written for SQL Server 2022; not run by this project.
*/
:on error exit

IF DB_ID(N'pmo') IS NULL
    EXECUTE (N'CREATE DATABASE pmo COLLATE Finnish_Swedish_100_CI_AS_SC_UTF8');
GO
USE pmo;
GO

IF OBJECT_ID(N'dbo.enhet') IS NULL
    CREATE TABLE dbo.enhet (
        enhet_id int NOT NULL PRIMARY KEY,
        hsa_id nvarchar(31) NULL,
        namn nvarchar(200) NULL
    );

IF OBJECT_ID(N'dbo.patient') IS NULL
    CREATE TABLE dbo.patient (
        patient_id int NOT NULL PRIMARY KEY,
        personnummer nvarchar(40) NULL,
        namn nvarchar(400) NULL,
        sekretess bit NOT NULL
    );

/* Boka fr.o.m. and Boka före are text, as in a system where staff may write anything. */
IF OBJECT_ID(N'dbo.vantelistepost') IS NULL
    CREATE TABLE dbo.vantelistepost (
        post_id bigint NOT NULL PRIMARY KEY,
        patient_id int NOT NULL REFERENCES dbo.patient (patient_id),
        enhet_id int NOT NULL REFERENCES dbo.enhet (enhet_id),
        kategori nvarchar(200) NULL,
        kontaktform nvarchar(40) NULL,
        vantar_pa_besok bit NOT NULL,
        nybesok bit NOT NULL,
        boka_from nvarchar(40) NULL,
        boka_fore nvarchar(40) NULL,
        orsak nvarchar(max) NULL,
        planerade_atgarder nvarchar(max) NULL,
        anvandare nvarchar(400) NULL,
        tidsatgang_min int NULL,
        filial nvarchar(200) NULL,
        registrerad datetime2(6) NOT NULL,
        andrad datetime2(6) NULL,
        avslutad datetime2(6) NULL
    );

IF OBJECT_ID(N'dbo.bilaga') IS NULL
    CREATE TABLE dbo.bilaga (
        bilaga_id int NOT NULL PRIMARY KEY,
        post_id bigint NOT NULL REFERENCES dbo.vantelistepost (post_id),
        filnamn nvarchar(260) NOT NULL,
        INDEX bilaga_post (post_id)
    );
GO

IF SUSER_ID(N'pmo_reader') IS NULL
    CREATE LOGIN pmo_reader WITH PASSWORD = N'$(PMO_READER_PASSWORD)', DEFAULT_DATABASE = pmo;

ALTER LOGIN pmo_reader WITH PASSWORD = N'$(PMO_READER_PASSWORD)';

IF USER_ID(N'pmo_reader') IS NULL
    CREATE USER pmo_reader FOR LOGIN pmo_reader;

ALTER ROLE db_datareader ADD MEMBER pmo_reader;
GO
