//! A result is of one state of the database, also if the provider is killed within it.

use std::fs;

use database::client::{Error, Event};
use database::protocol::{Code, Finished};

use crate::common::Scene;

const ROWS: u64 = 40_000;

/// Kills the provider within the query, does this, and starts another one.
fn interrupted(scene: &Scene, sql: &str, meanwhile: impl Fn()) -> Result<Finished, Error> {
    let mut provider = Some(scene.provider(&[]));
    let mut batches = 0;
    let mut lost = 0;
    let result = scene.query(16 * 1024).run(sql, |event| match event {
        Event::Batch(..) => {
            batches += 1;
            if batches == 3 {
                provider.take().unwrap().kill();
            }
        }
        Event::Lost(_) => {
            lost += 1;
            meanwhile();
            provider = Some(scene.provider(&[]));
        }
        _ => {}
    });
    assert_eq!(lost, 1);
    result
}

fn is_changed(result: &Result<Finished, Error>) -> bool {
    match result {
        Err(Error::Failure(failure)) => failure.code == Code::Changed,
        _ => false,
    }
}

const ALL: &str = "SELECT * FROM measurements";

#[test]
fn a_database_that_has_changed_is_noticed() {
    let scene = Scene::new(ROWS);
    let result = interrupted(&scene, ALL, || ());
    assert_eq!(result.unwrap().rows, ROWS);
    // In a row that has not come yet.
    let result = interrupted(&scene, ALL, || scene.change_last_row());
    assert!(is_changed(&result), "{result:?}");
    // To what it was before.
    let result = interrupted(&scene, ALL, || {
        let conn = scene.open();
        conn.execute_batch("CREATE TABLE x (y); DROP TABLE x;")
            .unwrap();
    });
    assert!(is_changed(&result), "{result:?}");
}

#[test]
fn a_change_in_a_write_ahead_log_is_noticed() {
    let scene = Scene::new(ROWS);
    // Somebody who has the database open, so that the log stays.
    let other = scene.open();
    other.pragma_update(None, "journal_mode", "wal").unwrap();
    other.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    other
        .execute("UPDATE measurements SET value = 1 WHERE id = 7", [])
        .unwrap();
    assert_eq!(interrupted(&scene, ALL, || ()).unwrap().rows, ROWS);
    let result = interrupted(&scene, ALL, || scene.change_last_row());
    assert!(is_changed(&result), "{result:?}");
    let result = interrupted(&scene, ALL, || {
        other
            .execute("UPDATE measurements SET value = 2 WHERE id = 7", [])
            .unwrap();
        other
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
    });
    assert!(is_changed(&result), "{result:?}");
    assert_eq!(interrupted(&scene, ALL, || ()).unwrap().rows, ROWS);
}

#[test]
fn a_log_that_nobody_has_open_is_no_change() {
    let scene = Scene::new(ROWS);
    let other = scene.open();
    other.pragma_update(None, "journal_mode", "wal").unwrap();
    drop(other);
    assert_eq!(interrupted(&scene, ALL, || ()).unwrap().rows, ROWS);
    let result = interrupted(&scene, ALL, || scene.change_last_row());
    assert!(is_changed(&result), "{result:?}");
}

#[test]
fn another_database_in_its_place_is_noticed() {
    let scene = Scene::new(ROWS);
    let copy = scene.home().join("copy.db");
    let result = interrupted(&scene, ALL, || {
        fs::copy(scene.database(), &copy).unwrap();
        let changed = "UPDATE measurements SET value = -1 WHERE id = 40000";
        rusqlite::Connection::open(&copy)
            .unwrap()
            .execute_batch(changed)
            .unwrap();
        fs::rename(&copy, scene.database()).unwrap();
    });
    assert!(is_changed(&result), "{result:?}");
}

#[test]
fn a_query_that_gives_other_rows_each_time_is_noticed() {
    let scene = Scene::new(ROWS);
    let result = interrupted(&scene, "SELECT random() AS r, * FROM measurements", || ());
    assert!(is_changed(&result), "{result:?}");
}

/// Others write while the query runs: it gives the state in which it began.
#[test]
fn writers_do_not_disturb_a_query() {
    let scene = Scene::new(ROWS);
    let other = scene.open();
    other.pragma_update(None, "journal_mode", "wal").unwrap();
    let _provider = scene.provider(&[]);
    let (mut batches, mut sum) = (0, None);
    let finished = scene
        .query(16 * 1024)
        .run("SELECT id FROM measurements", |event| {
            if let Event::Batch(batch, schema) = event {
                batches += 1;
                if batches == 2 {
                    other
                        .execute("DELETE FROM measurements WHERE id > 1000", [])
                        .unwrap();
                }
                sum.get_or_insert_with(|| database::summary::Summary::new(schema))
                    .add(&batch.batch);
            }
        });
    assert_eq!(finished.unwrap().rows, ROWS);
    let database::summary::Values::Integer { sum, .. } = sum.unwrap().columns[0].values else {
        panic!("ids are integers")
    };
    assert_eq!(sum, i128::from(ROWS * (ROWS + 1) / 2));
}
