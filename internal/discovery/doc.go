// Package discovery brings together what a cluster lists and what is configured. A front end may be configured by its
// host name, and listed by its IP address:
//
//	kin := discovery.Kin{Lookup: net.DefaultResolver.LookupNetIP}
//	addresses := kin.Configured(ctx, pool.Backends, listing.Frontends)
//	// addresses[i] is what listing.Frontends[i] is configured as, such as "fe1:9030"; empty when it is not
//
// How a cluster is asked is package probe's part, what becomes of its answer package balancer's.
package discovery
