//! For which reasons does a CRL speak of a certificate (RFC 5280 6.3.3 (b), (d))?

use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::distribution_point::{DistributionPoint, DistributionPointName, Reasons};
use crate::name::Name;

/// The distribution points of a certificate, and the one that every certificate has: its issuer's name.
pub(super) struct Coverage<'c> {
    certificate: &'c Certificate,
    is_ca: bool,
}

impl<'c> Coverage<'c> {
    pub(super) fn of(certificate: &'c Certificate) -> Coverage<'c> {
        Coverage { certificate, is_ca: certificate.is_ca() }
    }

    /// The reasons for which `crl` speaks of the certificate; none if it does not.
    pub(super) fn reasons(&self, crl: &Crl) -> Reasons {
        if !self.is_of_the_kind(crl) {
            return Reasons::NONE;
        }
        let certificate = self.certificate;
        let of_crl = crl.distribution_point().map_or(Reasons::ALL, |point| point.reasons());
        if self.is_met_by_issuer(crl) {
            return of_crl;
        }
        let points = certificate.crl_distribution_points().into_iter().flatten();
        let met = points.filter(|point| meets(point, certificate.issuer(), crl));
        met.fold(Reasons::NONE, |reasons, point| {
            reasons.or(point.reasons.unwrap_or(Reasons::ALL).and(of_crl))
        })
    }

    /// (b)(2)(ii) to (iv).
    fn is_of_the_kind(&self, crl: &Crl) -> bool {
        crl.distribution_point().is_none_or(|point| {
            let another_kind = if self.is_ca { point.only_user_certs } else { point.only_ca_certs };
            !another_kind && !point.only_attribute_certs
        })
    }

    /// The distribution point that nobody wrote: any CRL of the issuer that stands at the issuer's name or says not
    /// where it stands (the last paragraph of 6.3.3).
    fn is_met_by_issuer(&self, crl: &Crl) -> bool {
        let issuer = self.certificate.issuer();
        let name = crl.distribution_point().and_then(|point| point.name());
        crl.issuer() == issuer && name.is_none_or(|name| name.is_at(issuer, issuer))
    }
}

/// Names that the distribution points name as CRL issuers, apart from the certificate's own issuer.
pub(crate) fn crl_issuers(certificate: &Certificate) -> Vec<Name> {
    let mut names = Vec::new();
    for point in certificate.crl_distribution_points().into_iter().flatten() {
        for name in point.crl_issuer.into_iter().flatten().filter_map(|name| name.directory()) {
            if name != *certificate.issuer() && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// (b)(1) and (b)(2)(i).
fn meets(point: &DistributionPoint<'_>, certificate_issuer: &Name, crl: &Crl) -> bool {
    let of_crl = crl.distribution_point();
    let base = match point.crl_issuer {
        Some(mut issuers) => {
            let named = issuers.any(|name| name.directory().is_some_and(|name| name == *crl.issuer()));
            if !named || !of_crl.is_some_and(|point| point.indirect) {
                return false;
            }
            crl.issuer()
        }
        None if crl.issuer() == certificate_issuer => certificate_issuer,
        None => return false,
    };
    match (of_crl.and_then(|point| point.name()), &point.name) {
        (None, _) => true,
        (Some(stands), Some(wanted)) => wanted.meets(base, &stands, crl.issuer()),
        (Some(stands), None) => stands_at_issuer(&stands, point, crl.issuer()),
    }
}

/// Whether the CRL stands at the name of one of the point's CRL issuers, where the point itself has no name.
fn stands_at_issuer(
    stands: &DistributionPointName<'_>,
    point: &DistributionPoint<'_>,
    issuer: &Name,
) -> bool {
    let mut issuers = point.crl_issuer.into_iter().flatten().filter_map(|name| name.directory());
    issuers.any(|name| stands.is_at(issuer, &name))
}
