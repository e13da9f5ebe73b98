//! Chromium without a screen, driven by the DevTools protocol over a pair of pipes.
//!
//! <https://chromedevtools.github.io/devtools-protocol/>

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};
use tempfile::TempDir;

/// For one answer. It starts slowly on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Chromium {
    process: Child,
    commands: File,
    answers: Receiver<Value>,
    asked: u64,
    session: Option<String>,
    /// What it told without being asked.
    pub(crate) events: Vec<Value>,
    _home: TempDir,
}

impl Chromium {
    /// Starts it, with one empty page, and no network.
    pub(crate) fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let [commands, answers] = ["commands", "answers"].map(|name| home.path().join(name));
        let made = Command::new("mkfifo").args([&commands, &answers]).status().unwrap();
        assert!(made.success(), "mkfifo");
        let process = Command::new("sh")
            .args(["-c", r#"exec 3<"$COMMANDS" 4>"$ANSWERS" chromium "$@""#, "sh"])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
            .envs([("COMMANDS", &commands), ("ANSWERS", &answers)])
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The shell opens them in this order; each waits for its other end.
        let commands = File::options().write(true).open(commands).unwrap();
        let answers = read(File::open(answers).unwrap());
        let (asked, session, events) = (0, None, Vec::new());
        let mut chromium = Self { process, commands, answers, asked, session, events, _home: home };
        let page = chromium.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attached = chromium.call(
            "Target.attachToTarget",
            &json!({ "targetId": page["targetId"], "flatten": true }),
        );
        chromium.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            chromium.call(&format!("{domain}.enable"), &json!({}));
        }
        chromium.call(
            "Network.emulateNetworkConditions",
            &json!({ "offline": true, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0 }),
        );
        chromium
    }

    /// Asks, and waits for the answer.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let mut command = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).unwrap();
        loop {
            let told = self.answers.recv_timeout(PATIENCE).unwrap();
            if told["id"] == self.asked {
                assert!(told["error"].is_null(), "{method}: {}", told["error"]);
                return told["result"].clone();
            }
            self.events.push(told);
        }
    }

    /// A window of this size, in the dark or in the light.
    pub(crate) fn show(&mut self, width: u32, height: u32, scheme: &str) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
        let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "media": "", "features": scheme }));
    }

    pub(crate) fn open(&mut self, file: &Path) {
        self.events.clear();
        self.call("Page.navigate", &json!({ "url": format!("file://{}", file.display()) }));
        let loaded = |told: &Value| told["method"] == "Page.loadEventFired";
        while !self.events.iter().any(loaded) {
            let told = self.answers.recv_timeout(PATIENCE).unwrap();
            self.events.push(told);
        }
    }

    /// What an expression comes to, as JSON.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// A picture of the whole page.
    pub(crate) fn picture(&mut self, file: &Path) {
        let asked = json!({ "format": "png", "captureBeyondViewport": true });
        let layout = self.call("Page.getLayoutMetrics", &json!({}));
        let size = &layout["cssContentSize"];
        let clip =
            json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let mut asked = asked;
        asked["clip"] = clip;
        let picture = self.call("Page.captureScreenshot", &asked);
        let picture = picture["data"].as_str().unwrap();
        let png = base64::engine::general_purpose::STANDARD.decode(picture).unwrap();
        fs::write(file, png).unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        thread::sleep(Duration::from_millis(200));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Messages, each ended by a zero byte.
fn read(answers: File) -> Receiver<Value> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for message in BufReader::new(answers).split(0) {
            let Ok(message) = message else { return };
            if send.send(serde_json::from_slice(&message).unwrap()).is_err() {
                return;
            }
        }
    });
    receive
}
