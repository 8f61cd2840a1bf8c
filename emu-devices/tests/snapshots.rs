//! Snapshots kept in memory: many of one run, which share what did not change.

use emu_devices::disk::DiskImage;
use emu_devices::pc::Pc;
use emu_devices::snapshot::Snapshot;

fn machine(image: &str, processors: u32) -> Pc {
    let image = test_images::TestImage::find(image).expect("there is such an image");
    let disk = DiskImage::from_bytes(image.name, image.bytes.to_vec()).expect("it is not empty");
    Pc::builder().memory(64 << 20).processors(processors).hard_disk(disk).build().expect("the host has memory")
}

fn result(pc: &Pc) -> (u64, u64, u64) {
    (pc.now(), pc.instructions(), pc.state_hash())
}

/// A snapshot every 400,001 cycles, with what the machine was then.
fn travel(pc: &mut Pc) -> Vec<(Snapshot, (u64, u64, u64))> {
    let mut moments = Vec::new();
    for n in 1..=40 {
        pc.run_until(n * 400_001);
        moments.push((pc.snapshot().expect("a snapshot can be taken"), result(pc)));
    }
    moments
}

#[test]
fn machine_taken_back_and_forth_in_time_is_each_time_what_it_was_then() {
    let mut pc = machine("smp", 4);
    let moments = travel(&mut pc);
    let mut whole = machine("smp", 4);
    for at in [39, 3, 20, 19, 0, 38] {
        let (snapshot, then) = &moments[at];
        pc.restore(snapshot).expect("it is this machine's");
        assert_eq!(result(&pc), *then, "moment {at}");
        whole.run_until(then.0);
        let next = &moments[(at + 1).min(39)].1;
        pc.run_until(next.0);
        assert_eq!(result(&pc), *next, "from moment {at} on");
    }
    whole.run_until(40 * 400_001);
    assert_eq!(result(&whole), moments[39].1, "a run without snapshots");
}

#[test]
fn snapshots_of_one_run_share_most_of_their_pages() {
    let moments = travel(&mut machine("smp", 4));
    let last = &moments[39].0;
    let mut kept = std::collections::BTreeSet::new();
    for (snapshot, _) in &moments {
        kept.extend(snapshot.memory().pages().map(|(_, page)| std::ptr::from_ref(page) as usize));
    }
    let of_one = last.memory().pages().count();
    assert!(of_one > 5 && kept.len() < 20 * of_one, "{} pages in {} snapshots of {of_one}", kept.len(), moments.len());
}
