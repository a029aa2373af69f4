//! [`AddressRules`]: which addresses may be connected to.
//!
//! A URL out of a certificate can name anything, so by default only addresses of the public Internet are
//! admitted: whatever the IANA special-purpose registries (RFC 6890 and its successors) keep for hosts, links,
//! private networks, documentation or the future is refused, and so are the metadata services of clouds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Judges addresses: the public Internet, and what the configuration allows besides.
#[derive(Clone, Debug, Default)]
pub struct AddressRules {
    allowed: Vec<IpNet>,
}

impl AddressRules {
    /// Admits `allowed` besides the public Internet.
    pub fn new(allowed: Vec<IpNet>) -> AddressRules {
        AddressRules { allowed }
    }

    /// Whether `address` may be connected to. An IPv4 address in an IPv6 coat (mapped, RFC 4291 2.5.5.2; NAT64,
    /// RFC 6052 2.1) is judged as the IPv4 address that it leads to.
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|network| network.contains(&address))
            || match address {
                IpAddr::V4(address) => is_public_v4(address),
                IpAddr::V6(address) => match behind_nat64(address) {
                    Some(inner) => self.admits(IpAddr::V4(inner)),
                    None => is_public_v6(address),
                },
            }
    }
}

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

const REFUSED_V4: [Ipv4Net; 14] = [
    v4(0, 0, 0, 8),       // "this network", unspecified
    v4(10, 0, 0, 8),      // private
    v4(100, 64, 0, 10),   // carrier-grade NAT; Alibaba's metadata service
    v4(127, 0, 0, 8),     // loopback
    v4(169, 254, 0, 16),  // link-local; most clouds' metadata service
    v4(172, 16, 0, 12),   // private
    v4(192, 0, 0, 24),    // protocol assignments; Oracle's metadata service
    v4(192, 0, 2, 24),    // documentation
    v4(192, 88, 99, 24),  // 6to4 relays of old
    v4(192, 168, 0, 16),  // private
    v4(198, 18, 0, 15),   // benchmarks
    v4(198, 51, 100, 24), // documentation
    v4(203, 0, 113, 24),  // documentation
    v4(224, 0, 0, 3),     // multicast, reserved, broadcast
];

/// Azure answers its guests' metadata questions at an address that is public in form.
const AZURE_METADATA: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// The only part of IPv6 that is routed on the Internet (RFC 4291 2.4, IANA): all else is refused.
const GLOBAL_UNICAST_V6: Ipv6Net = v6(0x2000, 0, 3);

const REFUSED_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),      // protocol assignments, Teredo among them
    v6(0x2001, 0x0db8, 32), // documentation
    v6(0x2002, 0, 16),      // 6to4, an IPv4 address in disguise
    v6(0x3fff, 0, 20),      // documentation
];

/// The well-known prefix of NAT64 (RFC 6052 2.1), through which IPv6-only networks reach IPv4 hosts.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 96);

fn is_public_v4(address: Ipv4Addr) -> bool {
    address != AZURE_METADATA && !REFUSED_V4.iter().any(|network| network.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    GLOBAL_UNICAST_V6.contains(&address) && !REFUSED_V6.iter().any(|network| network.contains(&address))
}

fn behind_nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    NAT64.contains(&address).then(|| Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &AddressRules, admitted: bool, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(rules.admits(address.parse().unwrap()), admitted, "{address}");
        }
    }

    #[test]
    fn the_public_internet_is_admitted() {
        let public =
            ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"];
        check(&AddressRules::default(), true, &public);
    }

    #[test]
    fn loopback_private_link_local_metadata_and_reserved_addresses_are_refused_in_every_coat() {
        check(
            &AddressRules::default(),
            false,
            &[
                "127.0.0.1",
                "127.255.255.254",
                "0.0.0.0",
                "10.1.2.3",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.1.1",
                "169.254.169.254",
                "100.100.100.200",
                "192.0.0.192",
                "168.63.129.16",
                "192.0.2.1",
                "198.19.0.1",
                "224.0.0.1",
                "239.255.255.255",
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "::1",
                "::127.0.0.1",
                "::ffff:127.0.0.1",
                "::ffff:169.254.169.254",
                "::ffff:10.0.0.1",
                "64:ff9b::7f00:1",
                "64:ff9b::a9fe:a9fe",
                "64:ff9b:1::a00:1",
                "fe80::1",
                "fec0::1",
                "fc00::1",
                "fd00:ec2::254",
                "fd20:ce::254",
                "ff02::1",
                "2001:db8::1",
                "2001::1",
                "2002:7f00:1::1",
                "3fff::1",
                "4000::1",
            ],
        );
    }

    #[test]
    fn an_allowed_network_admits_its_addresses_and_no_others() {
        let rules = AddressRules::new(vec!["127.0.0.0/8".parse().unwrap(), "fd00:1::/32".parse().unwrap()]);
        check(&rules, true, &["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00:1::1"]);
        check(&rules, false, &["10.0.0.1", "::1", "fd00:2::1"]);
    }
}
