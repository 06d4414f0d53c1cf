//! Help, versions, usage errors, colour; and that the examples of the help are true.

use crate::commands::Post;

const PROGRAMS: [&str; 4] = ["multimodule", "strans", "rtrans", "qtrans"];

#[test]
fn help_and_version_end_with_0_and_teach_by_example() {
    let post = Post::new();
    for program in PROGRAMS {
        for word in ["--help", "-h"] {
            let help = post.run(program, &[word]);
            assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{program}");
            assert!(help.stdout.contains("Examples") && help.stdout.contains("Exit codes"), "{}", help.stdout);
        }
        let version = post.run(program, &["--version"]);
        assert_eq!(version.code, 0);
        let begin = format!("{program} {}\noptional features: ", env!("CARGO_PKG_VERSION"));
        assert!(version.stdout.starts_with(&begin), "{}", version.stdout);
        assert!(version.stdout.ends_with("transit format: 1\nstate format: 1\n"), "{}", version.stdout);
    }
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    let post = Post::new();
    for (program, words, reason) in [
        ("multimodule", &["--no-such"][..], "--no-such"),
        ("multimodule", &["-m", "Example1"], "no task runs in a process Example1"),
        ("multimodule", &["-m", "main"], "main is the daemon itself"),
        ("multimodule", &["-o", "log"], "write channel:handling"),
        ("multimodule", &["-d", "-1"], "-1"),
        ("strans", &[], "<MESSAGE>"),
        ("strans", &["{a => 1}"], "<QUEUE>"),
        ("rtrans", &["-s", "-c", "2", "Q"], "cannot be used with"),
        ("rtrans", &["-c", "0", "Q"], "0"),
        ("rtrans", &["--timeout", "soon", "Q"], "a number of seconds"),
        ("qtrans", &["Q"], "Q"),
    ] {
        post.run(program, words).refused(64, reason);
    }
}

#[test]
fn nothing_is_coloured_off_a_terminal() {
    let post = Post::new();
    for (program, words) in [("multimodule", ["--help"]), ("strans", ["--no-such"]), ("qtrans", ["-a"])] {
        let outcome = post.run(program, &words);
        assert!(!(outcome.stdout + &outcome.stderr).contains('\x1b'), "{program}");
    }
}

/// `script` gives a command a terminal of its own.
fn on_a_terminal(post: &Post, no_color: &str) -> String {
    let line = format!("{} --help", env!("CARGO_BIN_EXE_multimodule"));
    let mut command = post.command("script");
    let output = command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env("NO_COLOR", no_color).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn a_terminal_has_colour_unless_no_color_is_set() {
    let post = Post::new();
    assert!(on_a_terminal(&post, "").contains('\x1b'));
    let plain = on_a_terminal(&post, "1");
    assert!(plain.contains("Examples") && !plain.contains('\x1b'), "{plain:?}");
}

#[test]
fn the_examples_of_the_help_work_as_they_stand() {
    let post = Post::new();
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_strans")).parent().unwrap();
    let path = std::env::join_paths([bin, "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    let run = |line: &str| {
        let output = post.command("/bin/sh").args(["-c", line]).env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let senders = examples(&post, "strans");
    assert_eq!(senders.len(), 5);
    senders.iter().for_each(|line| drop(run(line)));
    for _ in 0..9 {
        run(&senders[0]);
    }
    assert!(run("qtrans").contains("Example1"));
    for line in examples(&post, "qtrans") {
        assert!(run(&line).contains("Example1"), "{line}");
    }
    let [single, ten, all, endless] = examples(&post, "rtrans").try_into().unwrap();
    assert_eq!(run(&single), "{\n  \"new_ct\": 999\n}\n");
    assert_eq!(run(&ten).matches("send_ts").count(), 10);
    assert_eq!(run(&all).matches('{').count(), 3);
    assert_eq!(endless, "rtrans Example1");
}

/// The example lines of a program's help, without what explains them.
fn examples(post: &Post, program: &str) -> Vec<String> {
    let help = post.run(program, &["--help"]).stdout;
    let (_, examples) = help.split_once("Examples").unwrap();
    let lines = examples.lines().skip(1).take_while(|line| line.is_empty() || line.starts_with("  "));
    let lines = lines.filter(|line| !line.is_empty()).map(|line| line.trim());
    lines.map(|line| line.split("   ").next().unwrap().trim().to_owned()).collect()
}
