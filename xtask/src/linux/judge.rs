//! What a kernel's serial port must show, and what it must not.

/// SHA-256 of the numbers 1 to 100,000, a line each.
const CHECKSUM: &str = "b2bc7d3f8b652d2ec96865b68ad8f80e22cca174abe1aed7889e242a747d590f";
/// Complaints of a kernel's that a PC does not give it reason for.
const COMPLAINTS: [&str; 9] = [
    "Call Trace",
    "WARNING:",
    "BUG:",
    "Oops",
    "Kernel panic",
    "TSC warp",
    "Marking TSC unstable",
    "detected stalls",
    "[Firmware Bug]",
];

/// What is wrong with a run's output; empty if nothing is.
pub fn faults(serial: &str, processors: u32) -> Vec<String> {
    let wanted =
        [format!("SHELL processors {processors}"), format!("SHELL checksum {CHECKSUM}"), "SHELL end".to_owned()];
    let mut lines = serial.lines().map(str::trim);
    let mut faults: Vec<String> = wanted
        .into_iter()
        .filter(|wanted| !lines.by_ref().any(|line| line.starts_with(wanted)))
        .map(|wanted| format!("no line {wanted:?}"))
        .collect();
    let complaints = serial.lines().filter(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
    faults.extend(complaints.map(|line| line.trim().to_owned()));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        format!("[0.0] Linux version\r\nSHELL processors 2\r\nSHELL checksum {CHECKSUM}  -\r\nSHELL end\r\n")
    }

    #[test]
    fn output_with_all_lines_and_no_complaint_passes() {
        assert_eq!(faults(&good(), 2), Vec::<String>::new());
    }

    #[test]
    fn output_without_a_line_or_with_a_complaint_fails() {
        assert_eq!(faults(&good(), 4).first().map(String::as_str), Some("no line \"SHELL processors 4\""));
        assert_eq!(faults(&good().replace("SHELL end", ""), 2), ["no line \"SHELL end\""]);
        let warped = format!("[1.0] Measured 10 cycles TSC warp between CPUs\r\n{}", good());
        assert_eq!(faults(&warped, 2), ["[1.0] Measured 10 cycles TSC warp between CPUs"]);
    }
}
