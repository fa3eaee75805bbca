// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PDFed} from "../PDFed.sol";

/// @notice Exposes the bucket of pairs of scores, for tests. Never deployed elsewhere.
contract Harness is PDFed {
    constructor(Terms memory terms_) payable PDFed(terms_) {}

    /// @return buckets of each pair, as `revealVote` would choose them.
    function bucketsOf(uint64[] calldata qn, uint64[] calldata baselineQn) external pure returns (uint8[] memory buckets) {
        buckets = new uint8[](qn.length);
        for (uint256 i = 0; i < qn.length; ++i) {
            buckets[i] = uint8(_bucket(qn[i], baselineQn[i]));
        }
    }
}
