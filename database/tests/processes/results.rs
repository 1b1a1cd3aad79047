//! What the tool computes is what SQLite says, and what cannot be had is said.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Program, Scene};

/// A column of a report.
fn column<'a>(report: &'a Value, name: &str) -> &'a Value {
    let columns = report["columns"].as_array().unwrap();
    columns
        .iter()
        .find(|column| column["name"] == name)
        .unwrap()
}

#[test]
fn the_result_is_that_of_sqlite() {
    let scene = Scene::new(30_000);
    let _provider = scene.provider(&[]);
    for batch in ["1024", "100000", "4194304"] {
        let tool = scene.tool("SELECT * FROM measurements", &["--batch", batch]);
        let report = tool.wait().report();
        let expected = scene.open().query_row(
            "SELECT count(*), sum(id), min(time), max(time), count(value), sum(value), min(value), max(value), \
             sum(octet_length(sensor)), sum(octet_length(note)) FROM measurements",
            [],
            |row| {
                Ok(json!({
                    "rows": row.get::<_, i64>(0)?,
                    "ids": row.get::<_, i64>(1)?.to_string(),
                    "time": [row.get::<_, i64>(2)?, row.get::<_, i64>(3)?],
                    "values": row.get::<_, i64>(4)?,
                    "value": [row.get::<_, f64>(5)?, row.get::<_, f64>(6)?, row.get::<_, f64>(7)?],
                    "texts": [row.get::<_, i64>(8)?, row.get::<_, i64>(9)?],
                }))
            },
        );
        let (time, value) = (column(&report, "time"), column(&report, "value"));
        let bytes = |name| &column(&report, name)["values"]["bytes"];
        let found = json!({
            "rows": report["rows"],
            "ids": column(&report, "id")["values"]["sum"],
            "time": [time["values"]["min"], time["values"]["max"]],
            "values": value["count"],
            "value": [value["values"]["sum"], value["values"]["min"], value["values"]["max"]],
            "texts": [bytes("sensor"), bytes("note")],
        });
        assert_eq!(found, expected.unwrap());
        // No batch was copied after it had been received.
        assert_eq!(report["in_place"], report["batches"]);
        assert!(report["batches"].as_u64() > Some(0));
    }
}

#[test]
fn each_type_of_sqlite_and_its_columns() {
    let scene = Scene::empty();
    scene
        .open()
        .execute_batch(
            "CREATE TABLE odd (a INTEGER, b REAL, c TEXT, d BLOB, e, f VARCHAR(9), g DOUBLE);
             INSERT INTO odd VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL);
             INSERT INTO odd VALUES (-9223372036854775808, 2, 'é', x'00ff', 7, NULL, NULL);
             INSERT INTO odd VALUES (-9223372036854775808, 0.5, '', x'', -7, NULL, NULL);",
        )
        .unwrap();
    let _provider = scene.provider(&[]);
    let report = scene.tool("SELECT * FROM odd", &[]).wait().report();
    let types: Vec<_> = report["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["values"]["type"])
        .collect();
    assert_eq!(
        types,
        ["integer", "real", "text", "blob", "integer", "text", "real"]
    );
    // Two of these are beyond 64 bits together.
    assert_eq!(
        column(&report, "a")["values"]["sum"],
        "-18446744073709551616"
    );
    assert_eq!(column(&report, "b")["values"]["sum"], 2.5);
    assert_eq!(column(&report, "c")["values"]["bytes"], 2);
    assert_eq!(column(&report, "f")["nulls"], 3);

    // One integer column: a batch without rows has no bytes beside its description.
    let report = scene.tool("SELECT a FROM odd WHERE 0", &[]).wait().report();
    assert_eq!(
        (&report["rows"], &column(&report, "a")["count"]),
        (&json!(0), &json!(0))
    );
    // Integers are floats as well, if they are small enough.
    let mixed = "SELECT 0.5 AS x UNION ALL SELECT 9007199254740992";
    let report = scene.tool(mixed, &[]).wait().report();
    assert_eq!(column(&report, "x")["values"]["max"], 9007199254740992.0);
}

#[test]
fn what_is_not_served_is_said() {
    let scene = Scene::new(10);
    let _provider = scene.provider(&[]);
    let other = scene.home().join("other.db");
    let (attach, vacuum) = (
        format!("ATTACH '{}' AS x", other.display()),
        format!("VACUUM INTO '{}'", other.display()),
    );
    for (sql, said) in [
        ("SELECT * FROM nothing", "nothing"),
        ("SELEKT 1", "syntax error"),
        ("", "empty"),
        ("DELETE FROM measurements", "only one SELECT"),
        (
            "INSERT INTO measurements (id) VALUES (11) RETURNING id",
            "only one SELECT",
        ),
        (
            "WITH x AS (SELECT 1) UPDATE measurements SET value = 0",
            "only one SELECT",
        ),
        ("CREATE TEMP TABLE x (y)", "only one SELECT"),
        ("SELECT 1; SELECT 2", "only one SELECT"),
        ("SELECT 1; DROP TABLE measurements", "only one SELECT"),
        ("PRAGMA journal_mode = WAL", "only one SELECT"),
        ("COMMIT", "only one SELECT"),
        ("EXPLAIN SELECT 1", "only one SELECT"),
        (&attach, "only one SELECT"),
        (&vacuum, "only one SELECT"),
        ("SELECT load_extension('x')", "not authorized"),
        ("SELECT abs(-9223372036854775808)", "integer overflow"),
        (
            "SELECT 1 AS a UNION ALL SELECT 'x'",
            "row 2, column \"a\": text in a column of type integer",
        ),
        (
            "SELECT 1 AS a UNION ALL SELECT 0.5",
            "row 2, column \"a\": real in a column of type integer",
        ),
        (
            "SELECT 0.5 AS a UNION ALL SELECT 9007199254740993",
            "row 2, column \"a\": an integer that no float is equal to",
        ),
        (
            "SELECT CAST(x'ff' AS TEXT) AS a",
            "row 1, column \"a\": text that is not UTF-8",
        ),
        ("SELECT zeroblob(5000000)", "longer than 4194304 bytes"),
        (
            "SELECT zeroblob(4000000), zeroblob(4000000), zeroblob(4000000)",
            "row 1 is longer than 8388608 bytes",
        ),
    ] {
        scene.tool(sql, &[]).wait().failed(3, said);
    }
    let columns = vec!["1"; 1001].join(", ");
    scene
        .tool(&format!("SELECT {columns}"), &[])
        .wait()
        .failed(3, "more than 1000 columns");
    assert!(!other.exists());
    // Nothing of it has done anything.
    let report = scene
        .tool("SELECT id FROM measurements", &[])
        .wait()
        .report();
    assert_eq!(report["rows"], 10);
}

#[test]
fn a_database_that_is_not_there() {
    let scene = Scene::empty();
    let provider = Program::start(&mut scene.provider_command(&[]));
    provider.wait().failed(1, "unable to open database file");
    assert!(!scene.database().exists());

    fs::write(
        scene.database(),
        "not a database, though it is long enough to be one".repeat(100),
    )
    .unwrap();
    let provider = Program::start(&mut scene.provider_command(&[]));
    provider.wait().failed(1, "file is not a database");
    fs::remove_file(scene.database()).unwrap();

    // It goes while the provider serves.
    database::sample::make(&scene.database(), 10).unwrap();
    let _provider = scene.provider(&[]);
    let gone = scene.home().join("gone");
    fs::rename(scene.database(), &gone).unwrap();
    scene
        .tool("SELECT 1", &[])
        .wait()
        .failed(3, "unable to open database file");
    fs::rename(&gone, scene.database()).unwrap();
    scene.tool("SELECT 1", &[]).wait().report();
}

#[test]
fn a_provider_that_is_not_there() {
    let scene = Scene::empty();
    let tool = scene.tool("SELECT 1", &["--wait", "0.2"]);
    tool.wait().failed(4, "no provider within 200ms");
    let tool = scene.tool("SELECT 1 AS one", &[]);
    database::sample::make(&scene.database(), 1).unwrap();
    let _provider = scene.provider(&[]);
    assert_eq!(tool.wait().report()["rows"], 1);
    let second = Program::start(&mut scene.provider_command(&[]));
    second.wait().failed(1, "hosts a link of this name");
}

#[test]
fn the_comparison_runs() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_compare"));
    let ended = Program::start(command.args(["--rounds", "1", "--megabytes", "12"])).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for way in ["message for each batch", "one stream", "pipe", "TCP"] {
        let rows = ended.lines.iter().filter(|line| line.contains(way));
        assert_eq!(rows.count(), 2, "{ended:?}");
    }
}
