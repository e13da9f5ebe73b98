//! The page in a browser: that it needs nothing, does what it promises, and fits where it is read.
//!
//! Pictures of it stay in `target/tmp/report/`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests fail loudly"
)]

mod chromium;
mod office;
#[path = "../../src/sample.rs"]
#[allow(dead_code, reason = "the tests of the crate use more of it")]
mod sample;

use std::fs;
use std::path::{Path, PathBuf};

use chromium::Chromium;
use serde_json::{Value, json};
use vtap_testkit::tools;

/// Where pages and pictures stay.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The page of a busy office, in a file.
fn written(name: &str, page: &str) -> PathBuf {
    let file = folder().join(name);
    fs::write(&file, page).unwrap();
    file
}

/// What went wrong: exceptions, what the console tells, what the policy refused.
fn complaints(browser: &Chromium) -> Vec<&Value> {
    let bad = ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"];
    browser.events.iter().filter(|told| bad.iter().any(|bad| told["method"] == *bad)).collect()
}

fn requests(browser: &Chromium) -> Vec<String> {
    let sent = browser.events.iter().filter(|told| told["method"] == "Network.requestWillBeSent");
    sent.map(|told| told["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_page_works_by_itself_in_a_browser() {
    if !tools::installed(&["chromium", "mkfifo"]) {
        return;
    }
    let file = written("office.html", &office::page());
    let mut browser = Chromium::start();

    for (width, height, scheme, picture) in [
        (1280, 900, "light", "desktop-light.png"),
        (1280, 900, "dark", "desktop-dark.png"),
        (360, 740, "light", "phone-light.png"),
        (360, 740, "dark", "phone-dark.png"),
    ] {
        browser.show(width, height, scheme);
        browser.open(&file);
        assert_eq!(complaints(&browser), [&Value::Null; 0], "{picture}");
        assert_eq!(requests(&browser), [format!("file://{}", file.display())], "{picture}");
        let wide = browser
            .value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(wide, 0, "{picture}: the page scrolls sideways");
        browser.picture(&folder().join(picture));
    }
    printing(&mut browser, &file);
    contrasts(&mut browser, &file);
    sorting(&mut browser, &file);
    filtering(&mut browser);
    following(&mut browser);
    pointing(&mut browser);
    assert_eq!(complaints(&browser), [&Value::Null; 0]);
}

/// What is in the way on paper is left out, and a page of A4 is wide enough.
fn printing(browser: &mut Chromium, file: &Path) {
    browser.show(718, 1000, "light");
    browser.open(file);
    browser.call("Emulation.setEmulatedMedia", &json!({ "media": "print" }));
    let shown = "[...document.querySelectorAll('nav, input, button')].some((node) => node.closest('th') === null && node.offsetParent)";
    assert_eq!(browser.value(shown), false);
    let wide = browser
        .value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(wide, 0, "tables run off the paper");
    browser.picture(&folder().join("print.png"));
}

/// Text stands out from its ground by 4.5 to 1 (WCAG 2.2, 1.4.3).
fn contrasts(browser: &mut Chromium, file: &Path) {
    const WEAKEST: &str = r"(() => {
        const light = (colour) => {
            const [r, g, b] = colour.match(/[\d.]+/g).map((n) => {
                const part = n / 255;
                return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ground = (node) => {
            for (; node; node = node.parentElement) {
                const colour = getComputedStyle(node).backgroundColor;
                if (colour !== 'rgba(0, 0, 0, 0)') return colour;
            }
        };
        let weakest = [99, ''];
        for (const node of document.querySelectorAll('body *')) {
            if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
            const style = getComputedStyle(node);
            const text = light(node instanceof SVGElement ? style.fill : style.color);
            const back = light(ground(node));
            const contrast = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
            if (contrast < weakest[0]) weakest = [contrast, node.outerHTML.slice(0, 200)];
        }
        return weakest;
    })()";
    for scheme in ["light", "dark"] {
        browser.show(1280, 900, scheme);
        browser.open(file);
        // Titles within pictures are never drawn.
        browser.value("document.querySelectorAll('svg title').forEach((title) => title.remove())");
        let weakest = browser.value(WEAKEST);
        assert!(weakest[0].as_f64().unwrap() >= 4.5, "{scheme}: {weakest}");
    }
}

/// The texts of a column, of the rows that are shown.
fn column(browser: &mut Chromium, table: &str, column: u32) -> Vec<String> {
    let texts = browser.value(&format!(
        "[...document.getElementById('{table}').tBodies[0].rows].filter((row) => !row.hidden)
            .map((row) => row.cells[{column}].textContent)"
    ));
    serde_json::from_value(texts).unwrap()
}

fn sorting(browser: &mut Chromium, file: &Path) {
    browser.open(file);
    let flows = |browser: &mut Chromium| -> Vec<u64> {
        let shown = column(browser, "service-table", 6);
        shown.iter().map(|text| text.replace(',', "").parse().unwrap()).collect()
    };
    let head = "document.querySelector('#service-table th:nth-child(7)')";
    assert_eq!(browser.value(&format!("{head}.ariaSort")), Value::Null);

    browser.value(&format!("{head}.querySelector('button').click()"));
    let first = flows(browser);
    assert!(first.len() > 5 && first.is_sorted_by(|one, two| one >= two), "{first:?}");
    assert_eq!(browser.value(&format!("{head}.ariaSort")), "descending");

    // With the keyboard as well.
    browser.value(&format!("{head}.querySelector('button').focus()"));
    for kind in ["keyDown", "keyUp"] {
        let enter = json!({ "type": kind, "key": "Enter", "code": "Enter", "text": "\r",
            "windowsVirtualKeyCode": 13 });
        browser.call("Input.dispatchKeyEvent", &enter);
    }
    assert_eq!(browser.value(&format!("{head}.ariaSort")), "ascending");
    assert!(flows(browser).is_sorted());
    let sorted = "document.querySelectorAll('#service-table th[aria-sort]').length";
    assert_eq!(browser.value(sorted), 1);

    // Numbers, not their texts: sizes have units.
    browser.value("document.querySelector('#talker-table th:nth-child(4) button').click()");
    let keys = browser.value(
        "[...document.getElementById('talker-table').tBodies[0].rows].map((row) => Number(row.cells[3].dataset.v))",
    );
    let keys: Vec<u64> = serde_json::from_value(keys).unwrap();
    assert!(keys.is_sorted_by(|one, two| one >= two), "{keys:?}");
}

fn filtering(browser: &mut Chromium) {
    let all = column(browser, "flows", 3).len();
    assert_eq!(all, 15, "a long table shows its beginning");
    let filter = "document.querySelector('#flow-list input[type=search]')";
    browser.value(&format!(
        "{filter}.value = 'postgresql.internal refused'; {filter}.dispatchEvent(new Event('input'))"
    ));
    let shown = column(browser, "flows", 3);
    assert!(!shown.is_empty() && shown.iter().all(|server| server.contains("postgresql.internal")));
    let told = browser.value("document.querySelector('#flow-list output').value");
    assert!(told.as_str().unwrap().contains(" rows fit"), "{told}");

    browser.value(&format!("{filter}.value = ''; {filter}.dispatchEvent(new Event('input'))"));
    browser.value("document.querySelector('#flow-list .tools button').click()");
    let rows = browser.value("document.getElementById('flows').tBodies[0].rows.length");
    assert_eq!(column(browser, "flows", 3).len() as u64, rows.as_u64().unwrap());
}

/// An address leads to the flows that have it.
fn following(browser: &mut Chromium) {
    let link = "document.querySelector('#attempts tbody a')";
    let address = browser.value(&format!("{link}.textContent"));
    browser.value(&format!("{link}.click()"));
    let address = address.as_str().unwrap();
    let clients = column(browser, "flows", 2);
    assert!(!clients.is_empty());
    assert!(clients.iter().all(|client| client.contains(address)), "{address}: {clients:?}");
}

/// The timeline tells the numbers of a step.
fn pointing(browser: &mut Chromium) {
    browser.value(
        "document.querySelector('.timeline').dispatchEvent(new KeyboardEvent('keydown', { key: 'Home' }))",
    );
    let told = browser.value("document.querySelector('.readout').value");
    let told = told.as_str().unwrap();
    assert!(told.contains("to server") && told.contains("/s"), "{told}");
}

#[test]
fn names_from_the_network_stay_text() {
    if !tools::installed(&["chromium", "mkfifo"]) {
        return;
    }
    let file = written("hostile.html", &office::hostile_page());
    let mut browser = Chromium::start();
    browser.show(1280, 900, "light");
    browser.open(&file);
    assert_eq!(complaints(&browser), [&Value::Null; 0]);
    assert_eq!(browser.value("document.images.length + document.scripts.length"), 1);
    assert_eq!(browser.value("window.hacked ?? null"), Value::Null);
    let shown =
        browser.value("document.getElementById('names').textContent.includes('</script><img')");
    assert_eq!(shown, true);

    // Nor would a script run, had it come onto the page.
    browser.value(
        "document.body.append(Object.assign(document.createElement('script'), { text: 'window.hacked = 1' }))",
    );
    assert_eq!(browser.value("window.hacked ?? null"), Value::Null);
    assert!(browser.events.iter().any(|told| told.to_string().contains("Content Security Policy")));
}
