//! Whether both directions of a flow go the same way.

use crate::cards::Neighbour;
use crate::neighbours::Station;
use crate::networks::{GatewayKind, Networks};

/// What stands next to the tap on the way of one direction.
pub(crate) type Hop<'a> = (&'a Neighbour, &'a Station);

/// Whether a tap shows that the two directions pass different gateways, or that one passes a gateway
/// which the other does not.
///
/// Judged is what one tap shows between itself and the same end: at a router, packets of the two
/// directions that arrive come from different neighbours, and that is as it should be.
pub(crate) fn is_asymmetric(to_server: Hop<'_>, to_client: Hop<'_>, networks: &Networks) -> bool {
    let ((there, to), (back, from)) = (to_server, to_client);
    let comparable = there.tap.is_some() && there.tap == back.tap && there.far == back.far;
    let machines = matches!((to, from), (Station::Machine(_), Station::Machine(_)));
    if !comparable || machines || to == from {
        return false;
    }
    let (next, last) = if there.is_next { (to, from) } else { (from, to) };
    // Packets to the customer's site go past that gateway, by whatever card the host shows. Through
    // a gateway of the file they should not go alone.
    let goes_past = is_express_route(last, networks) && !matches!(next, Station::Gateway(_));
    !goes_past
}

fn is_express_route(station: &Station, networks: &Networks) -> bool {
    let Station::Gateway(gateway) = station else { return false };
    let gateway = networks.gateways().get(*gateway);
    gateway.is_some_and(|gateway| gateway.kind == GatewayKind::ExpressRoute)
}
