//! Policies: one that is read allows what a rule says alone, and nobody more than whoever logged in.

use teu_registry::auth::{Action, Passwords, Policy, Verdict};

pub(crate) fn run(text: &str) {
    // A file of passwords is read line by line.
    let _ = Passwords::parse(text);
    let Ok(policy) = Policy::parse(text) else { return };
    let rules = text.matches("who").count();
    for repository in ["a", "team/app", "team/app/deep", "public"] {
        for action in Action::ALL {
            let nobody = policy.judge(None, action, repository);
            for user in ["alice", "anonymous", "*", "@ci", ""] {
                let known = policy.judge(Some(user), action, repository);
                if let Verdict::Allowed(rule) = known {
                    // Each says whom it is for.
                    assert!(rule >= 1 && (rule <= rules || text.contains('\\')), "{rule} of {rules}");
                }
                if nobody != Verdict::Denied {
                    assert_ne!(known, Verdict::Denied, "{user} may less than nobody");
                }
            }
        }
    }
}
