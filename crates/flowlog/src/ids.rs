//! In whose name logs are written.

use std::io;

/// What the cloud calls the flow log, and what it belongs to.
///
/// Nothing of this is in packets. The defaults name a flow log that does not exist, so that what
/// was made from a mirror is never taken for the cloud's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Subscription of the network watcher, a GUID.
    pub subscription: String,
    /// Its resource group.
    pub resource_group: String,
    /// Its name, which in the cloud ends with the region: `NetworkWatcher_westeurope`.
    pub network_watcher: String,
    /// Name of the flow log.
    pub flow_log: String,
    /// GUID of the flow log.
    pub guid: String,
    /// Resource that is logged: a virtual network, a subnet or a network interface.
    pub target_resource: String,
}

impl Default for Ids {
    fn default() -> Self {
        let zeros = "00000000-0000-0000-0000-000000000000";
        Self {
            subscription: zeros.into(),
            resource_group: "NetworkWatcherRG".into(),
            network_watcher: "NetworkWatcher_vtap".into(),
            flow_log: "vtap".into(),
            guid: zeros.into(),
            target_resource: format!(
                "/subscriptions/{zeros}/resourceGroups/vtap/providers/Microsoft.Network\
                 /virtualNetworks/vtap"
            ),
        }
    }
}

impl Ids {
    /// Whether this can be the name of a subscription, a resource group, a network watcher or a flow
    /// log, all of which are part of paths: as wide as the cloud's own rules for names.
    pub fn is_name(name: &str) -> bool {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.()".contains(c);
        !name.is_empty() && name.chars().all(is_plain)
    }

    /// The resource id of the flow log, in capitals as the cloud writes it.
    pub(crate) fn flow_log_resource(&self) -> String {
        let Self { subscription, resource_group, network_watcher, flow_log, .. } = self;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers\
             /Microsoft.Network/networkWatchers/{network_watcher}/flowLogs/{flow_log}"
        )
        .to_ascii_uppercase()
    }

    /// The directory of the flow log in its container: everything above the year.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where a name cannot be part of a path.
    pub(crate) fn directory(&self) -> io::Result<String> {
        let Self { subscription, resource_group, network_watcher, flow_log, .. } = self;
        for (what, name) in [
            ("subscription", subscription),
            ("resource group", resource_group),
            ("network watcher", network_watcher),
            ("flow log", flow_log),
        ] {
            if !Self::is_name(name) {
                let why = format!(
                    "the name of the {what} is '{name}': it needs letters, digits and -_.() alone, \
                     as it is part of a path"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
        let path = format!("{subscription}_{resource_group}/{network_watcher}_{flow_log}");
        Ok(path.to_ascii_uppercase())
    }

    /// The flow log, as traffic analytics names it: resource group, network watcher, name.
    pub(crate) fn flow_log_name(&self) -> String {
        format!("{}/{}/{}", self.resource_group, self.network_watcher, self.flow_log)
    }

    /// What is logged, as traffic analytics names it: resource group, name (a subnet behind its
    /// virtual network); and its type. `None` where the id of the resource has another form.
    pub(crate) fn target(&self) -> Option<(String, &'static str)> {
        let parts: Vec<_> = self.target_resource.split('/').collect();
        let ["", _, _, _, group, _, _, kind, name, rest @ ..] = &*parts else { return None };
        let is = |kind: &str, of: &str| kind.eq_ignore_ascii_case(of);
        match rest {
            [] if is(kind, "virtualNetworks") => {
                Some((format!("{group}/{name}"), "VirtualNetwork"))
            }
            [] if is(kind, "networkInterfaces") => {
                Some((format!("{group}/{name}"), "NetworkInterface"))
            }
            [inner, subnet] if is(inner, "subnets") => {
                Some((format!("{group}/{name}/{subnet}"), "Subnet"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_together_as_the_cloud_does() {
        let ids = Ids { network_watcher: "NetworkWatcher_eastus2euap".into(), ..Ids::default() };
        assert_eq!(
            ids.flow_log_resource(),
            "/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000/RESOURCEGROUPS/NETWORKWATCHERRG\
             /PROVIDERS/MICROSOFT.NETWORK/NETWORKWATCHERS/NETWORKWATCHER_EASTUS2EUAP/FLOWLOGS/VTAP"
        );
        assert_eq!(
            ids.directory().unwrap(),
            "00000000-0000-0000-0000-000000000000_NETWORKWATCHERRG/NETWORKWATCHER_EASTUS2EUAP_VTAP"
        );
        assert_eq!(ids.flow_log_name(), "NetworkWatcherRG/NetworkWatcher_eastus2euap/vtap");
        assert_eq!(ids.target(), Some(("vtap/vtap".into(), "VirtualNetwork")));
    }

    #[test]
    fn a_name_never_leaves_its_directory() {
        for name in ["", "a/b", "a b", "ä"] {
            let ids = Ids { flow_log: name.into(), ..Ids::default() };
            let error = ids.directory().unwrap_err();
            assert!(error.to_string().contains("name of the flow log"), "{error}");
        }
    }

    #[test]
    fn what_is_logged_is_told_by_its_id() {
        let target = |resource: &str| {
            let base = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/";
            Ids { target_resource: format!("{base}{resource}"), ..Ids::default() }.target()
        };
        assert_eq!(target("networkInterfaces/nic1"), Some(("rg/nic1".into(), "NetworkInterface")));
        assert_eq!(target("virtualNetworks/hub/subnets/a"), Some(("rg/hub/a".into(), "Subnet")));
        assert_eq!(target("loadBalancers/lb"), None);
        assert_eq!(Ids { target_resource: String::new(), ..Ids::default() }.target(), None);
    }
}
