//! Files of a collector on their way to a store, sent by another user whom Landlock confines. Needs
//! root.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use vtap_testkit::data::{files_below, testdata};
use vtap_testkit::tools;

use crate::SESSIONS;
use crate::common::lab::{Collecting, Lab};
use crate::common::logs::{all_logs, balanced, found, lines, read};
use crate::common::{records, run, uint};

#[test]
fn what_is_complete_goes_to_the_store_as_another_user_and_leaves_the_spools() {
    let Some(lab) = Lab::free("both") else { return };
    let (logs, store) = (lab.path("logs"), lab.path("store"));
    // Nobody has to come as far as there.
    let folder = logs.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    for directory in [&logs, &store] {
        fs::create_dir(directory).unwrap();
        chown(directory, Some(65_534), Some(65_534)).unwrap();
    }
    let url = format!("file://{}", store.display());
    let flags = all_logs(&logs);
    let mut args = vec!["-i", "col0", "--keep", "0", "--flows-keep", "0", "--user", "nobody"];
    args.extend(["--upload", &url, "--upload-remove-after", "1s", "--upload-scan-every", "1s"]);
    args.extend(flags.iter().map(String::as_str));

    let collector = lab.collect(&args);
    lab.begin(SESSIONS).end();
    sleep(Duration::from_millis(500));
    let ended = collector.stop();
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let said = ended.summary();
    balanced(&said);
    assert_eq!(uint(&said["upload"]["pending_files"]), 0, "{said}");
    let sent = found(&store, "");
    assert_eq!(sent.len() as u64, uint(&said["upload"]["uploaded"]), "{:?}", sent.keys());
    let rows = lines(&found(&store.join("flows"), ".jsonl"));
    assert_eq!(rows.len() as u64, uint(&said["flow_log"]["flows"]["written"]));
    let events = lines(&found(&store.join("events"), ".json"));
    assert_eq!(events.len() as u64, uint(&said["rows"]["written"]));
    let vnet = "insights-logs-flowlogflowevent";
    assert!(read(&store.join(vnet))[1] > 0);
    assert_eq!(found(&store.join("traffic-analytics"), ".parquet").len(), 1);

    // What went in the last second of a run is removed in the next.
    let collector = lab.collect(&args);
    let spools = ["events", "flows", "traffic-analytics"];
    let left =
        || spools.iter().map(|spool| files_below(&logs.join(spool), "").len()).sum::<usize>();
    for _ in 0..100 {
        if left() == 0 {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    assert_eq!(left(), 0);
    collector.stop();
    // The flow log stays for as long as it may grow; nothing went twice under another name.
    assert_eq!(
        found(&logs.join("vnet-flow-log").join(vnet), "").len(),
        found(&store.join(vnet), "").len()
    );
    assert_eq!(found(&store, "").keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>());
}

/// Starts Azurite, which ends with this process; `None`, said, where it is not installed.
fn azurite(data: &Path) -> Option<(Child, String)> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let main = cache.join("vtap/azurite/node_modules/azurite/dist/src/blob/main.js");
    if !main.is_file() {
        tools::skipped("Azurite is not installed: run ci/azurite.sh");
        return None;
    }
    if !tools::installed(&["node", "python3"]) {
        return None;
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", r#""$@" & read -r _; kill -9 $!; wait"#, "sh", "node"]).arg(main);
    shell.args(["--disableTelemetry", "--skipApiVersionCheck", "--blobPort", "0", "--location"]);
    let mut shell = shell.arg(data).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("successfully listens on http://127.0.0.1:")?;
        Some(port.trim().to_owned())
    });
    // Or it would wait for somebody to read what it says.
    std::thread::spawn(move || lines.for_each(drop));
    Some((shell, port.expect("Azurite did not start")))
}

#[test]
fn a_confined_collector_finds_a_store_by_its_name_and_waits_for_one_that_is_not_ready() {
    if fs::metadata("/proc/self").map(|own| own.uid()).unwrap() != 0 {
        tools::skipped("needs root: it becomes another user");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("data")).unwrap();
    fs::create_dir(at("logs")).unwrap();
    chown(at("logs"), Some(65_534), Some(65_534)).unwrap();
    let Some((mut azurite, port)) = azurite(&at("data")) else { return };
    let ask = |method: &str, query: &str| {
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/blob.py");
        let mut command = Command::new("python3");
        let ran = run(command.arg(client).args([&port, method, "logs", query]), None);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran.text().to_owned()
    };
    // By name, and its key in a file that only root can read.
    let key =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let credentials = format!(
        "AZURE_STORAGE_ACCOUNT_NAME=devstoreaccount1\nAZURE_STORAGE_ACCOUNT_KEY={key}\n\
         AZURE_STORAGE_ENDPOINT=http://localhost:{port}/devstoreaccount1\nAZURE_ALLOW_HTTP=true\n"
    );
    fs::write(at("credentials"), credentials).unwrap();
    fs::set_permissions(at("credentials"), fs::Permissions::from_mode(0o600)).unwrap();

    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Nobody has it when this one is gone.
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vtap"));
    command.args(["collect", "--source", "udp", "--port", &udp.to_string(), "--user", "nobody"]);
    command.args(["--summary", "json", "--keep", "0", "--flows-keep", "0"]);
    command.args(["--upload", "az://logs/site 1", "--upload-scan-every", "1s"]);
    command.arg("--credentials-file").arg(at("credentials")).args(all_logs(&at("logs")));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let collector = Collecting::start(&mut command);
    for (_, packet) in records(&testdata("tap/http.pcap")) {
        // Behind SLL2, IPv4 and UDP.
        sender.send_to(&packet[20 + 20 + 8..], ("127.0.0.1", udp)).unwrap();
    }
    sleep(Duration::from_millis(500));
    collector.signal("TERM");
    // What is complete at the end waits for a container.
    sleep(Duration::from_secs(2));
    ask("PUT", "restype=container");
    let ended = collector.ended();
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("404 ContainerNotFound"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(key), "{}", ended.stderr);
    let said = ended.summary();
    balanced(&said);
    assert_eq!((uint(&said["upload"]["uploaded"]), uint(&said["upload"]["pending_files"])), (5, 0));
    let listed = ask("GET", "comp=list&restype=container");
    for object in
        ["events/events-", "flows/flows-", "insights-logs-flowlogflowevent/", "traffic-analytics/"]
    {
        assert!(listed.contains(&format!("<Name>site 1/{object}")), "{object}: {listed}");
    }
    drop(azurite.stdin.take());
    azurite.wait().unwrap();
}
