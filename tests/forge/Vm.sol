// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The few cheat codes of forge that these tests use
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function warp(uint256 time) external;
    function roll(uint256 height) external;
    function prevrandao(bytes32 newPrevrandao) external;
    function deal(address account, uint256 balance) external;
    function prank(address caller) external;
    function getCode(string calldata artifact) external view returns (bytes memory creation);
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory logs);
    function assume(bool condition) external pure;
}

Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

/// @notice Says what differs, and fails the test.
library Check {
    error Differs(string what, uint256 found, uint256 expected);
    error BytesDiffer(string what, bytes found, bytes expected);
    error Fails(string what);

    function equal(uint256 found, uint256 expected, string memory what) internal pure {
        if (found != expected) revert Differs(what, found, expected);
    }

    function equal(int256 found, int256 expected, string memory what) internal pure {
        if (found != expected) revert Differs(what, uint256(found), uint256(expected));
    }

    function equal(bytes memory found, bytes memory expected, string memory what) internal pure {
        if (keccak256(found) != keccak256(expected)) revert BytesDiffer(what, found, expected);
    }

    function that(bool holds, string memory what) internal pure {
        if (!holds) revert Fails(what);
    }
}
